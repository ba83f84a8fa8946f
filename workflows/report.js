(function () {
  var table = document.querySelector("table.ranking");
  if (table) {
    table.querySelectorAll("th[data-sortable]").forEach(function (head) {
      var column = head.cellIndex, button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        table.querySelectorAll("th[aria-sort]").forEach(function (other) {
          other.removeAttribute("aria-sort");
        });
        head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
        var value = function (body) {
          return parseFloat(body.rows[0].cells[column].dataset.sort);
        };
        Array.from(table.tBodies).sort(function (a, b) {
          var x = value(a), y = value(b);
          if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
          return down * (x - y);
        }).forEach(function (body) { table.appendChild(body); });
      });
    });
  }
  var unfold = function () {
    document.querySelectorAll("details").forEach(function (each) { each.open = true; });
  };
  window.addEventListener("beforeprint", unfold);
  window.addEventListener("hashchange", function () {
    var target = document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  });
})();
