// Driven by page.sh: node page.cjs SITE CHROMIUM FOLDER
const {chromium} = require('playwright-core');
const assert = require('assert');
const fs = require('fs');
const http = require('http');
const path = require('path');
const [site, executablePath, folder] = process.argv.slice(2);

const kTypes = {'.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.wasm': 'application/wasm'};
const server = http.createServer((request, reply) => {
  const name = path.join(site, path.normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname)).replace(/\/$/, '/index.html'));
  if (!fs.existsSync(name)) return reply.writeHead(404).end();
  reply.writeHead(200, {'Content-Type': kTypes[path.extname(name)] ?? 'application/octet-stream'});
  fs.createReadStream(name).pipe(reply);
});

async function main() {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--use-fake-ui-for-media-stream',
      '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${folder}/camera.y4m`],
  });
  const page = await browser.newPage({viewport: {width: 1280, height: 860}, colorScheme: 'dark', acceptDownloads: true});
  const problems = [];
  page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
  page.on('pageerror', (e) => problems.push(String(e)));
  page.on('request', (r) => r.url().startsWith(url) || r.url().startsWith('blob:') || r.url().startsWith('data:') || problems.push('asked ' + r.url()));
  const text = (id) => page.textContent(`#${id}`);
  const says = (id, part) => page.waitForFunction(([i, p]) => document.getElementById(i).textContent.includes(p), [id, part], {timeout: 60000});
  // The canvas's pixels now, kept in the page; and how many bytes of two differ.
  const pixels = () => page.evaluate(() => {
    const c = document.getElementById('result');
    return (window.kept ??= []).push(c.getContext('2d').getImageData(0, 0, c.width, c.height).data) - 1;
  });
  const changed = (a, b) => page.evaluate(([i, j]) => kept[i].reduce((n, v, k) => n + (v !== kept[j][k]), 0), [a, b]);
  const download = async (button) => {
    const [file] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
    return file;
  };

  await page.goto(url);
  await says('state', 'Ready');

  // A picture before there is a person: shown as it is. Then the person, and everybody.
  await page.setInputFiles('#target', `${folder}/sample6.jpg`);
  await page.waitForFunction(() => document.getElementById('hint').hidden);
  const before = await pixels();
  await page.setInputFiles('#photos', `${folder}/franck_02159.jpg`);
  await says('faces', '1');
  const one = await pixels();
  assert(await changed(before, one) > 5000, 'nothing was swapped');
  await page.check('#all');
  await says('faces', '4');
  const all = await pixels();
  assert(await changed(before, all) > 2 * await changed(before, one), 'only one face was swapped');
  await page.screenshot({path: folder + '/page-picture.png'});
  await page.fill('#strength', '0');
  await says('strength-value', '0.00');
  await page.waitForTimeout(1500);
  assert.equal(await changed(before, await pixels()), 0, 'strength 0 changes the picture');
  await page.fill('#strength', '1');
  await page.waitForTimeout(1500);
  await (await download('#save')).saveAs(`${folder}/picture.png`);
  await (await download('#save-person')).saveAs(`${folder}/person.safetensors`);
  assert(fs.statSync(`${folder}/person.safetensors`).size > 900000);

  // What cannot be used is said, and the person stays.
  for (const [file, part] of [['broken.jpg', 'no picture'], ['nobody.png', 'no face']]) {
    await page.setInputFiles('#photos', `${folder}/${file}`);
    await says('error', part);
  }
  await page.setInputFiles('#photos', `${folder}/person.safetensors`);
  await says('person', 'person.safetensors');

  await page.setInputFiles('#photos', `${folder}/sample6.jpg`);
  await says('person', '4 faces');
  await page.setInputFiles('#photos', `${folder}/person.safetensors`);
  await says('person', 'person.safetensors');

  // The camera, and a recording of it.
  await page.uncheck('#all');
  await page.click('#camera');
  await page.waitForFunction(() => Number(document.getElementById('fps').textContent) > 1, {timeout: 60000});
  await says('faces', '1');
  const first = await pixels();
  await page.waitForTimeout(400);
  assert(await changed(first, await pixels()) > 1000, 'the camera stands still');
  await page.click('#record');
  await page.waitForTimeout(2500);
  await page.screenshot({path: folder + '/page-camera.png'});
  await (await download('#record')).saveAs(`${folder}/recording.webm`);
  const camera = [await text('fps'), await text('milliseconds')];
  await page.click('#camera');
  await page.waitForTimeout(300);
  assert.equal(await page.getAttribute('#camera', 'aria-pressed'), 'false');

  // A film.
  await page.setInputFiles('#target', `${folder}/film.webm`);
  await page.waitForFunction(() => Number(document.getElementById('fps').textContent) > 1, {timeout: 60000});
  await says('faces', '1');

  // On a phone's screen nothing sticks out.
  await page.setViewportSize({width: 390, height: 844});
  await page.waitForTimeout(300);
  assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than a phone');
  await page.screenshot({path: folder + '/page-phone.png'});
  assert.deepEqual(problems, []);
  console.log(`camera 640x480 in Chromium ${browser.version()}: ${camera[0]} frames/s, swap ${camera[1]} ms`);
  await browser.close();
  server.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
