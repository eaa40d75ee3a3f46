/** Elements in a line each. Text always becomes a text node: no string is ever read as markup. */

const SVG = "http://www.w3.org/2000/svg";

/** The element of the page with this id. */
export const by = (id) => document.getElementById(id);

/**
 * An HTML element.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null>} attributes `true` sets one without a value, `false` and
 *   `null` none.
 * @param {...(Node | string)} children
 */
export const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element, as `make`. */
export const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
