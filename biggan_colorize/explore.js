// Two things that only the page can do, run by the picture that `explore.in_the_page` makes; `this` is that picture.
// JupyterLab takes the arrow keys from a focused list or slider to walk through cells, unless the element is marked.
// A file above the size of a message (10 MiB by default) would break the connection silently, so it is refused before it is sent.
const picture = this, most = Number(this.dataset.maxUpload);
const begin = () => {
  const root = picture.closest('.biggan-explorer');
  if (!root?.querySelector('.biggan-upload')) { setTimeout(begin, 50); return; }  // a slow page has not put everything in its place yet
  const refuse = file => {
    const words = document.createElement('div');
    words.setAttribute('role', 'alert');
    words.style.color = '#b00020';
    words.textContent = `${file.name} has ${Math.ceil(file.size / 2 ** 20)} MiB, and an upload may have ${most / 2 ** 20}: `
      + 'write its path into the field below the button instead.';
    root.querySelector('.biggan-status .widget-html-content').replaceChildren(words);
  };
  root.addEventListener('focusin', e => e.target.setAttribute('data-lm-suppress-shortcuts', 'true'));
  root.querySelector('.biggan-upload').addEventListener('click', () => {
    const click = HTMLInputElement.prototype.click;  // the widget makes an input that is in no document, and clicks it
    HTMLInputElement.prototype.click = function () {
      HTMLInputElement.prototype.click = click;
      this.addEventListener('change', e => {
        const file = this.files[0];
        if (!file || file.size <= most) return;
        e.stopImmediatePropagation();
        refuse(file);
        this.value = '';
      }, {capture: true, once: true});
      click.call(this);
    };
  }, true);
  root.classList.add('biggan-ready');
  picture.remove();
};
begin();
