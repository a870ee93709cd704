// node swagger.mjs BERTH CONSOLE: a person opens /swagger/, authorizes and tries an operation out.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { check, startServer } from './server.mjs';

const [binary, consoleFolder] = process.argv.slice(2).map((path) => resolve(path));
const { chromium } = createRequire(join(consoleFolder, 'package.json'))('playwright-core');

async function post(origin, path, body) {
  const answer = await fetch(origin + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  check(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const program = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
check(program, 'chromium is installed');
const server = await startServer(binary);
const browser = await chromium.launch({
  executablePath: program,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
});
try {
  const password = 'sturdy harbour 42';
  await post(server.origin, '/api/v1/auth/register', { username: 'ada', email: 'ada@example.org', password });
  const login = await post(server.origin, '/api/v1/auth/login', { username: 'ada', password });

  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = [];
  const foreign = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== server.origin && url.protocol !== 'data:') foreign.push(request.url());
  });

  await page.goto(`${server.origin}/swagger/`);
  await page.waitForSelector('.opblock');
  const described = await (await fetch(`${server.origin}/openapi.json`)).json();
  const operations = Object.values(described.paths).flatMap((item) => Object.keys(item)).length;
  const shown = await page.locator('.opblock').count();
  check(shown === operations, `${shown} of ${operations} operations are shown`);

  await page.click('button.authorize');
  await page.fill('.auth-container input', login.access_token);
  await page.click('.auth-btn-wrapper button.authorize');
  await page.click('.auth-btn-wrapper button.btn-done');

  const me = page.locator('.opblock', { has: page.locator('[data-path="/api/v1/auth/me"]') });
  await me.locator('.opblock-summary-control').first().click();
  await me.locator('.try-out__btn').click();
  await me.locator('button.execute').click();
  const live = me.locator('.live-responses-table .response').first();
  await live.waitFor();
  const status = (await live.locator('.response-col_status').innerText()).trim();
  const text = await live.innerText();
  check(status.startsWith('200'), `GET /auth/me answered ${status}`);
  check(text.includes('"username": "ada"'), `the answer names ada: ${text}`);

  for (const [path, title] of [['/', 'Berth'], ['/setup', 'Berth'], ['/problems', 'Berth']]) {
    await page.goto(server.origin + path);
    check((await page.title()).includes(title), `${path} has the title ${await page.title()}`);
  }
  check(complaints.length === 0, `the console says: ${complaints.join('; ')}`);
  check(foreign.length === 0, `requests left the origin: ${foreign.join(' ')}`);
  console.log(`${shown} operations shown; authorized; tried out; nothing left the origin`);
} finally {
  await browser.close();
  await server.stop();
}
