// The button that turns a page dark or light; without a choice it is as the system has it.
{
  const root = document.documentElement, button = document.querySelector('.theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  const dark = () => (root.dataset.theme || (system.matches ? 'dark' : 'light')) === 'dark';
  const tell = () => {
    button.textContent = dark() ? 'Light' : 'Dark';
    button.setAttribute('aria-label', `Use the ${dark() ? 'light' : 'dark'} theme`);
    dispatchEvent(new Event('theme'));
  };
  button.addEventListener('click', () => { root.dataset.theme = dark() ? 'light' : 'dark'; tell(); });
  system.addEventListener('change', tell);
  // Paper is white: what is drawn, not styled, is drawn anew for it.
  let before;
  addEventListener('beforeprint', () => {
    before = root.dataset.theme;
    root.dataset.theme = 'light';
    tell();
  });
  addEventListener('afterprint', () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    tell();
  });
  button.hidden = false;
  root.classList.add('scripted');
  tell();
}
