// Curves: the pointer, or the arrow keys, move a cursor that says what the curves have there.
for (const figure of document.querySelectorAll('.chart')) {
  const svg = figure.querySelector('svg');
  const points = [...svg.querySelectorAll('circle')].map(dot => (
    { curve: dot.dataset.curve, x: +dot.getAttribute('cx'), text: dot.textContent }
  ));
  const curves = [...new Set(points.map(p => p.curve))].map(c => points.filter(p => p.curve === c));
  const places = [...new Set(points.map(point => point.x))].sort((a, b) => a - b);
  const hint = document.createElement('div'), cursor = svg.querySelector('.cursor');
  hint.className = 'hint';
  hint.hidden = true;
  hint.setAttribute('role', 'status');
  figure.append(hint);
  let at = places.length - 1;

  const show = place => {
    at = place;
    const x = places[at], scale = svg.clientWidth / svg.viewBox.baseVal.width;
    cursor.setAttribute('x1', x);
    cursor.setAttribute('x2', x);
    cursor.removeAttribute('visibility');
    hint.textContent = curves.map(curve => (
      curve.reduce((best, p) => (Math.abs(p.x - x) < Math.abs(best.x - x) ? p : best)).text
    )).join('\n');
    hint.hidden = false;
    const left = x * scale + 10, room = figure.clientWidth - hint.offsetWidth;
    hint.style.left = `${Math.max(0, left > room ? x * scale - hint.offsetWidth - 10 : left)}px`;
    hint.style.top = `${svg.getBoundingClientRect().top - figure.getBoundingClientRect().top}px`;
  };
  const hide = () => { hint.hidden = true; cursor.setAttribute('visibility', 'hidden'); };

  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const far = place => Math.abs(places[place] - x);
    show(places.reduce((best, _, i) => (far(i) < far(best) ? i : best), 0));
  });
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('focus', () => { if (svg.matches(':focus-visible')) show(at); });
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', event => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: places.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(Math.min(places.length - 1, Math.max(0, to)));
  });
}
