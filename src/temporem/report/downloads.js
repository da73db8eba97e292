"use strict";
// Adds buttons that save figures as SVG and numbers as CSV. Nothing is fetched: all is on the page.
(function () {
  function save(name, type, text) {
    var address = URL.createObjectURL(new Blob([text], { type: type }));
    var link = document.createElement("a");
    link.href = address;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(function () { URL.revokeObjectURL(address); }, 10000);
  }

  // A copy that needs no page: ink instead of the page's text colour, white ground, own fonts.
  function standalone(svg) {
    var copy = svg.cloneNode(true);
    var box = svg.viewBox.baseVal;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    copy.removeAttribute("style");
    copy.style.color = "#1f2937";
    var style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    style.textContent = "*{stroke-linejoin:round;stroke-linecap:butt}";
    var ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ground.setAttribute("width", "100%");
    ground.setAttribute("height", "100%");
    ground.setAttribute("fill", "#ffffff");
    copy.prepend(style, ground);
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(copy);
  }

  function button(place, text, title, action) {
    var made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", action);
    place.append(made);
  }

  document.querySelectorAll("[data-file]").forEach(function (block) {
    var name = block.dataset.file;
    var place = block.querySelector(".take");
    var svg = block.querySelector("svg");
    var numbers = block.querySelector("script[type='application/json']");
    if (svg) {
      button(place, "SVG", "Save this figure as SVG", function () {
        save(name + ".svg", "image/svg+xml", standalone(svg));
      });
    }
    if (numbers) {
      button(place, "CSV", "Save these numbers as CSV", function () {
        save(name + ".csv", "text/csv", JSON.parse(numbers.textContent));
      });
    }
  });
})();
