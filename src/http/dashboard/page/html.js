// The one place where the libraries come in.
import { h, render } from "/dashboard/vendor/preact.mjs";
import htm from "/dashboard/vendor/htm.mjs";

export { render };
export { useEffect, useId, useRef, useState } from "/dashboard/vendor/hooks.mjs";
export const html = htm.bind(h);
