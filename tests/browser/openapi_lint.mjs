// node openapi_lint.mjs BERTH CONSOLE: the description passes Redocly and Spectral, warnings included.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { check, startServer } from './server.mjs';

const [binary, consoleFolder] = process.argv.slice(2).map((path) => resolve(path));

function run(tool, args) {
  const done = spawnSync('npx', ['--no-install', tool, ...args], {
    cwd: consoleFolder,
    encoding: 'utf8',
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', NO_COLOR: '1' },
  });
  if (done.error) throw done.error;
  return done;
}

const server = await startServer(binary);
const folder = mkdtempSync(join(tmpdir(), 'berth-openapi-'));
try {
  const answer = await fetch(`${server.origin}/openapi.json`);
  const text = await answer.text();
  const document = JSON.parse(text);
  check(document.openapi.startsWith('3.1.'), `OpenAPI ${document.openapi}`);
  check(Object.keys(document.paths).length >= 30, 'the description has all paths');
  const file = join(folder, 'openapi.json');
  writeFileSync(file, text);

  const redocly = run('redocly', ['lint', '--extends=recommended', '--format=json', file]);
  const report = JSON.parse(redocly.stdout.slice(redocly.stdout.indexOf('{')));
  check(report.totals.errors === 0 && report.totals.warnings === 0, `Redocly: ${JSON.stringify(report.problems, null, 1)}`);

  const rules = join(folder, 'rules.yaml');
  writeFileSync(rules, 'extends: ["spectral:oas"]\n');
  const spectral = run('spectral', ['lint', '--ruleset', rules, '--fail-severity', 'hint', '--format', 'json', file]);
  check(spectral.status === 0, `Spectral: ${spectral.stdout}${spectral.stderr}`);

  // The tools do find what is wrong.
  delete document.info.license;
  delete document.paths['/api/v1/auth/me'].get.operationId;
  writeFileSync(file, JSON.stringify(document));
  const spoilt = run('redocly', ['lint', '--extends=recommended', '--format=json', file]);
  const found = JSON.parse(spoilt.stdout.slice(spoilt.stdout.indexOf('{'))).totals;
  check(found.errors + found.warnings >= 2, 'Redocly finds what was taken out');
  check(run('spectral', ['lint', '--ruleset', rules, '--fail-severity', 'hint', file]).status !== 0, 'Spectral finds what was taken out');
  console.log(`${Object.keys(document.paths).length} paths: no errors, no warnings`);
} finally {
  rmSync(folder, { recursive: true, force: true });
  await server.stop();
}
