// A server of its own for a test: a free port, a fresh data directory, ended with the test.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export async function startServer(binary) {
  const folder = mkdtempSync(join(tmpdir(), 'berth-browser-'));
  const child = spawn(binary, ['serve', '--listen', '127.0.0.1:0', '--data-dir', join(folder, 'data')],
                      { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const line = await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then((code) => { throw new Error(`berth serve ended with ${code}`); }),
  ]);
  // By number: a name may stand for several addresses.
  const port = new URL(JSON.parse(line).api).port;
  return {
    origin: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}
