// Shows each mail at each width, as a mail client would, and notes what a reader would stumble on.
// MAILS and WIDTHS are set before this. The result goes into the page, which --dump-dom prints.

function colour(text) {
  const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
  return { red, green, blue, alpha };
}

function over(front, back) {
  const mix = (a, b) => a * front.alpha + b * (1 - front.alpha);
  return {
    red: mix(front.red, back.red),
    green: mix(front.green, back.green),
    blue: mix(front.blue, back.blue),
    alpha: 1,
  };
}

// Relative luminance and contrast as WCAG 2.2 defines them.
function luminance({ red, green, blue }) {
  const [r, g, b] = [red, green, blue].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function backgroundOf(element) {
  const layers = [];
  for (let each = element; each; each = each.parentElement) {
    const layer = colour(getComputedStyle(each).backgroundColor);
    if (layer.alpha > 0) layers.push(layer);
    if (layer.alpha === 1) break;
  }
  if (!layers.length || layers.at(-1).alpha < 1) return null;
  return layers.reduceRight((back, front) => over(front, back));
}

function troubles(page, width) {
  const found = [];
  const root = page.documentElement;
  if (root.scrollWidth > width) found.push(`is ${root.scrollWidth} px wide`);
  if (!root.lang) found.push('has no lang');
  if (!page.title.trim()) found.push('has no title');
  if (page.querySelectorAll('h1').length !== 1) found.push('has not one h1');
  for (const image of page.images) if (!image.alt) found.push('has an image without alt');
  for (const link of page.links) {
    const named = `link to ${link.getAttribute('href')}`;
    if (!link.textContent.trim()) found.push(`${named} has no text`);
    if (!/^(https|mailto):/.test(link.href)) found.push(`${named} leads nowhere`);
    const inline = getComputedStyle(link).display === 'inline';
    if (!inline && link.offsetHeight < 44) found.push(`${named} is too low for a thumb`);
    if (inline && getComputedStyle(link).textDecorationLine !== 'underline')
      found.push(`${named} is told by its colour alone`);
  }
  for (const table of page.querySelectorAll('table:not([role=presentation])'))
    if (!table.querySelector('th[scope]')) found.push('has a table without heads');
  for (const element of page.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (box.width && (box.left < 0 || box.right > width + 0.5))
      found.push(`<${element.localName}> reaches from ${box.left} to ${box.right} px`);
  }
  const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim();
    if (!words) continue;
    const style = getComputedStyle(texts.currentNode.parentElement);
    const background = backgroundOf(texts.currentNode.parentElement);
    if (!background) {
      found.push(`nothing is behind “${words}”`);
      continue;
    }
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = contrast(over(colour(style.color), background), background);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)} at “${words}”`);
    if (size < 13) found.push(`${size} px is too small for “${words}”`);
  }
  return found;
}

const results = [];
for (const { name, html } of MAILS) {
  for (const width of WIDTHS) {
    const frame = document.createElement('iframe');
    frame.style = `width:${width}px;height:30000px;border:0`;
    document.body.append(frame);
    const page = frame.contentDocument;
    page.open();
    page.write(html);
    page.close();
    results.push({
      name,
      width,
      lang: page.documentElement.lang,
      words: page.body.innerText.length,
      background: luminance(backgroundOf(page.querySelector('.card'))),
      troubles: troubles(page, width),
    });
    frame.remove();
  }
}
document.body.innerHTML = '<pre id="results"></pre>';
document.getElementById('results').textContent = encodeURIComponent(JSON.stringify(results));
