// Driven by live_page.sh: node live_page.cjs URL CHROMIUM FOLDER
const {chromium} = require('playwright-core');
const assert = require('assert');
const [url, executablePath, folder] = process.argv.slice(2);

async function main() {
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage({viewport: {width: 1280, height: 860}, colorScheme: 'dark'});
  const problems = [];
  // A photo that cannot be read has no picture.
  page.on('console', (m) => m.type() === 'error' && !m.location().url.includes('/person/') && problems.push(m.text()));
  page.on('pageerror', (e) => problems.push(String(e)));
  page.on('request', (r) => r.url().startsWith(url) || problems.push('asked ' + r.url()));
  const state = async () => JSON.parse(await page.evaluate(() => fetch('state').then((r) => r.text())));
  const until = async (what, ok) => {
    for (let i = 0; i < 300; ++i) {
      const s = await state();
      if (ok(s)) return s;
      await page.waitForTimeout(100);
    }
    assert.fail(what + ': ' + JSON.stringify(await state()));
  };
  const pixels = () => page.evaluate(() => {
    const img = document.getElementById('preview');
    const c = document.createElement('canvas');
    c.width = 100;
    c.height = 75;
    c.getContext('2d').drawImage(img, 0, 0, 100, 75);
    return Array.from(c.getContext('2d').getImageData(0, 0, 100, 75).data);
  });
  const difference = (a, b) => a.reduce((sum, v, i) => sum + Math.abs(v - b[i]), 0) / a.length;

  await page.goto(url);
  await until('frames run', (s) => s.fps > 0 && s.swapped > 10);
  await page.waitForFunction(() => document.getElementById('preview').naturalWidth > 0);
  await page.waitForTimeout(1200);
  // The preview moves.
  const one = await pixels();
  await page.waitForTimeout(300);
  assert(difference(one, await pixels()) > 0.01, 'the preview stands still');
  assert(one.some((v, i) => i % 4 !== 3 && v > 60), 'the preview is black');
  assert(Number(await page.textContent('#fps')) > 0);
  await page.screenshot({path: folder + '/page-dark.png'});

  // Another person, by the keyboard and by a click; one that cannot be used.
  assert.equal(await page.getByRole('radio').count(), 5);
  await page.getByText('average', {exact: true}).click();
  await until('the person changes', (s) => s.identity.current === 'average');
  await page.getByRole('radio', {name: 'saved'}).focus();
  await page.keyboard.press('Space');
  await until('the person changes', (s) => s.identity.current === 'saved');
  await page.getByText('broken', {exact: true}).click();
  await until('a bad photo is refused', (s) => s.identity.error.includes('broken.jpg') && s.identity.current === 'saved');
  await page.waitForFunction(() => document.getElementById('busy').textContent.includes('broken.jpg'));

  // Sliders, mirror, pause.
  await page.getByLabel('Strength').fill('0.4');
  await until('the strength changes', (s) => Math.abs(s.look.strength - 0.4) < 0.001);
  await page.waitForFunction(() => document.getElementById('strength-value').textContent === '40 %');
  await page.getByLabel('Soft border').fill('0.2');
  await until('the border changes', (s) => Math.abs(s.look.edge_feather - 0.2) < 0.001);
  await page.getByRole('button', {name: 'Mirror'}).click();
  await until('mirrored', (s) => s.mirror);
  await page.locator('h1').click();
  await page.keyboard.press(' ');
  await until('paused', (s) => s.paused);
  await page.waitForTimeout(800);
  const still = await pixels();
  await page.waitForTimeout(300);
  assert(difference(still, await pixels()) < 0.5, 'the picture moves in a pause');
  assert.equal(await page.getByRole('button', {name: 'Pause'}).getAttribute('aria-pressed'), 'true');
  await page.emulateMedia({colorScheme: 'light'});
  await page.screenshot({path: folder + '/page-light.png'});
  await page.getByRole('button', {name: 'Pause'}).click();
  await until('goes on', (s) => !s.paused && s.fps > 0);

  // A preview whose stream has ended comes back by itself.
  await page.evaluate(() => { document.getElementById('preview').src = 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=='; });
  await page.waitForFunction(() => document.getElementById('preview').naturalWidth === 1);
  await page.waitForFunction(() => document.getElementById('preview').naturalWidth > 1, null, {timeout: 10000});
  await page.waitForTimeout(500);
  const again = await pixels();
  await page.waitForTimeout(300);
  assert(difference(again, await pixels()) > 0.01, 'the preview stands still after its stream has ended');

  // Narrow windows keep everything on the page.
  await page.setViewportSize({width: 420, height: 900});
  await page.waitForTimeout(600);
  assert(await page.evaluate(() => document.documentElement.scrollWidth <= 420), 'the page is wider than a narrow window');
  await page.screenshot({path: folder + '/page-narrow.png', fullPage: true});

  // Every control has a name.
  const unnamed = await page.evaluate(() => [...document.querySelectorAll('button, input, select')].filter((e) => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute('aria-label')).length);
  assert.equal(unnamed, 0);

  // Without the token there is nothing.
  const other = await browser.newPage();
  assert.equal((await other.goto(new URL('/', url).href)).status(), 403);
  assert.deepEqual(problems, []);
  await browser.close();
}

main().catch((e) => {
  console.error('live_page:', e.message);
  process.exit(1);
});
