/** `npm run soak -- all`: rounds of harnesses in processes of their own. What each does is tested with that harness. */
import { spawn } from 'node:child_process'
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { type AllHarness, type AllOptions, type AllReport, allSoaks, slotOf } from '../soak/all.ts'
import { eventually } from '../support/eventually.ts'
import { repositoryRoot } from '../support/repository.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const MAIN = join(repositoryRoot, 'test/soak/main.ts')

/** A harness for each way to end; it tells its seed and time as what it counted. */
const FAKE_MAIN = `
import { writeFileSync } from 'node:fs'
const [name, ...given] = process.argv.slice(2)
const option = (key) => given[given.indexOf(key) + 1]
const counts = { tried: 7, acknowledged: Number(option('--seed')), lost: 0, invented: 0, wrong: 0, hung: 0, crashed: 0,
  undetected: 0, elapsedMs: 1 }
const say = (violations = []) => console.log(JSON.stringify({ harness: name, seed: 1, ...counts, violations }))
if (name === 'dies') process.exit(3)
else if (name === 'breaks') say([{ invariant: 'I1', seed: 1, rerun: 'again', what: 'lost' }])
else if (name === 'long') {
  process.once('SIGTERM', () => { say(); process.exit(0) })
  setInterval(() => {}, 1000)
  writeFileSync(option('--ready'), '')
} else say()
`

function harness(name: string, lack: string | null = null): AllHarness {
  return { name, share: 1, options: [], lack }
}

async function soakAll(
  names: readonly (string | AllHarness)[],
  given: Partial<AllOptions> = {},
): Promise<readonly AllReport[]> {
  const main = join(await temporaryDirectory(), 'main.mjs')
  await writeFile(main, FAKE_MAIN)
  return allSoaks({
    harnesses: names.map((each) => (typeof each === 'string' ? harness(each) : each)),
    timeMs: 20 * 60_000,
    seed: 10,
    main,
    signal: new AbortController().signal,
    onProgress: () => {},
    ...given,
  })
}

describe('all harnesses', () => {
  test('go round, each with the seeds after those it had, and their counts are added', async () => {
    const [first, second] = await soakAll(['first', 'second'])
    // Twenty minutes are two rounds: from seed 10, and from seed 17.
    expect(first).toMatchObject({ harness: 'first', rounds: 2, tried: 14, acknowledged: 10 + 17 })
    expect(second).toMatchObject({ harness: 'second', rounds: 2, tried: 14, skipped: null })
  })

  test('divide the time that is left by their shares', () => {
    const queue = [{ share: 3 }, { share: 1 }, { share: 2 }]
    expect(slotOf(60_000, queue)).toBe(30_000)
    expect(slotOf(30_000, queue.slice(1))).toBe(10_000)
    // One that comes when the time is over ends at once.
    expect(slotOf(-5, queue)).toBe(1)
  })

  test('go on where one dies, which is a finding, and say what one broke', async () => {
    const [dead, broken, whole] = await soakAll(['dies', 'breaks', 'whole'], { timeMs: null })
    expect(dead).toMatchObject({ crashed: 1, violations: [{ invariant: 'I12', seed: 10 }] })
    expect(dead?.violations[0]?.rerun).toBe('npm run soak -- dies --seed 10')
    expect(broken?.violations).toHaveLength(1)
    expect(whole).toMatchObject({ tried: 7, violations: [] })
  })

  test('leave out what the machine cannot do, and say why', async () => {
    const [out, run] = await soakAll([harness('out', 'no loop devices'), 'run'], { timeMs: null })
    expect(out).toMatchObject({ rounds: 0, tried: 0, skipped: 'no loop devices' })
    expect(run).toMatchObject({ rounds: 1, tried: 7 })
  })

  test('end with what was done so far when they are stopped', async () => {
    const stop = new AbortController()
    const ready = join(await temporaryDirectory(), 'ready')
    const long = { ...harness('long'), options: ['--ready', ready] }
    const stopped = eventually(() => access(ready)).then(() => stop.abort())
    const reports = await soakAll(['quick', long, 'never'], { signal: stop.signal })
    await stopped
    expect(reports.map(({ tried, violations }) => [tried, violations.length])).toEqual([
      [7, 0],
      [7, 0],
      [0, 0],
    ])
  })
})

async function run(...given: readonly string[]): Promise<{ status: number; output: string }> {
  const child = spawn(process.execPath, [MAIN, ...given], { stdio: ['ignore', 'pipe', 'ignore'] })
  const status = new Promise<number>((resolve) =>
    child.once('close', (code) => resolve(code ?? -1)),
  )
  return { output: await text(child.stdout), status: await status }
}

test('the command runs what it is asked to and prints one line', { timeout: 300_000 }, async () => {
  const { status, output } = await run('all', '--only', 'threads,simulate', '--minutes', '0.02')
  const reports = JSON.parse(output) as AllReport[]
  expect(reports.map(({ harness: name, rounds }) => [name, rounds])).toEqual([
    ['threads', 1],
    ['simulate', 1],
  ])
  expect(reports[0]?.tried).toBeGreaterThan(0)
  expect(status).toBe(0)
})

test.each([
  [['nothing']],
  [['all', 'simulate']],
  [['all', '--only', 'nothing']],
  [['all', '--seeds', '3']],
  [['all', '--minutes', '0']],
  [['all', '--unknown']],
  [['kill', '--only', 'simulate']],
])('%j is refused before anything runs', async (given) => {
  expect(await run(...given)).toEqual({ status: 2, output: '' })
})
