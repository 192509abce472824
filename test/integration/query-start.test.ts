/** What a first query starts ends with the engine and with the process, whenever that is. */
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryRoot } from '../support/repository.ts'

/** A process that asks its first query as `query`, and does `body` at once. */
function run(body: string): { readonly status: number | null; readonly output: string } {
  const script = `
    import { Stratalog } from '${pathToFileURL(join(repositoryRoot, 'src/index.ts')).href}'
    const db = await Stratalog.memoryOnly()
    const log = await db.createLog('events')
    await log.append([{ id: 1 }])
    const query = db.query('SELECT count(*) AS n FROM events').then(() => 'answered', ({ code }) => code)
    ${body}`
  const args = ['--input-type=module', '--eval', script]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, output: stdout + stderr }
}

test('an engine that closes while its first query begins has closed, and the process ends', () => {
  const { status, output } = run("await db.close(); console.log('closed', await query)")
  expect(output).toMatch(/^closed (?:answered|engine_closed|aborted)\n$/)
  expect(status).toBe(0)
})

test.each([0, 1, 30, 90, 150, 250])(
  'a process that exits %i ms after it asked its first query does so in order',
  (ms) => {
    const { status, output } = run(`setTimeout(() => process.exit(7), ${ms})`)
    expect(output).toBe('')
    expect(status).toBe(7)
  },
)
