/** Snapshots of a running engine on real files: made, listed, shown, compared, checked, let go of. */
import { readdir, rm } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Stratalog, type StratalogOptions, VirtualClock, verifyFiles } from '../../src/index.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { runCli } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Place {
  readonly dataDir: string
  readonly archive: string
  readonly clock: VirtualClock
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  return { dataDir: `${root}/data`, archive: `file://${root}/archive`, clock: new VirtualClock() }
}

async function open(
  { dataDir, archive, clock }: Place,
  options: StratalogOptions = {},
): Promise<Stratalog> {
  return Stratalog.open({ dataDir, archive, ...options }, { clock, logger: silentLogger })
}

function rows(from: number, count: number): Array<{ n: number }> {
  return Array.from({ length: count }, (_, index) => ({ n: from + index }))
}

async function names(db: Stratalog): Promise<readonly string[]> {
  return (await db.snapshots()).map(({ name }) => name)
}

/** Waits for real files, while the engine's clock stands still. */
async function until(isDone: () => Promise<boolean>): Promise<void> {
  while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('by hand', () => {
  test('one that is deleted is gone, and what only it held is collected', async () => {
    const at = await place()
    await using db = await open(at)
    await db.tier.pause()
    const log = await db.createLog('log', { storage: { mode: 'hybrid', retention: '1h' } })
    await log.append(rows(0, 10))
    await db.snapshot({ name: 'first' })
    at.clock.advance(2 * HOUR)
    await log.append(rows(10, 10))
    await db.tier.now()
    await db.tier.run()
    expect((await db.tier.collect({ grace: 0, dryRun: true })).pinned).toBe(1)
    const deleted = await db.deleteSnapshot('first')
    expect(deleted).toMatchObject({ name: 'first', logs: [{ name: 'log' }] })
    expect(await names(db)).toEqual([])
    expect((await db.tier.collect({ grace: 0 })).collected).toHaveLength(1)
    await expectError(db.deleteSnapshot('first'), 'snapshot_not_found')
  })

  test('of some logs, by id, and never under a name of the engine', async () => {
    await using db = await open(await place())
    for (const name of ['a', 'b']) await (await db.createLog(name)).append({ n: 1 })
    const made = await db.snapshot({ name: 'one', logs: ['b'] })
    expect(made.logs.map(({ name }) => name)).toEqual(['b'])
    await expectError(db.snapshot({ name: 'auto-mine' }), 'argument_invalid')
    expect((await db.deleteSnapshot(made.id)).name).toBe('one')
  })
})

describe('by itself', () => {
  test('every interval, with no more than are to be kept, over a restart', async () => {
    const at = await place()
    const options = { snapshotInterval: '1h', snapshotKeep: 2 } as const
    {
      await using db = await open(at, options)
      await (await db.createLog('log')).append(rows(0, 10))
      await db.snapshot({ name: 'kept' })
      for (let made = 1; made <= 3; made++) {
        at.clock.advance(made === 1 ? 0 : HOUR)
        await until(async () => {
          const all = await names(db)
          return all.length === Math.min(made, 2) + 1 && all.at(-1) === autoName(at.clock)
        })
      }
      expect(await names(db)).toEqual(['kept', autoName(at.clock, -HOUR), autoName(at.clock)])
    }
    at.clock.advance(HOUR / 2)
    await using db = await open(at, options)
    const due = new Date(at.clock.now() + HOUR / 2).toISOString()
    await until(async () => db.status().snapshots?.nextTime === due)
    expect(await names(db)).toHaveLength(3)
  })

  test('at closing, with what is in RAM only', async () => {
    const at = await place()
    {
      await using db = await open(at, { snapshotOnClose: true })
      const log = await db.createLog('cache', { storage: { mode: 'memory' } })
      await log.append(rows(0, 10))
    }
    await using db = await open(at)
    const [snapshot] = await db.snapshots()
    expect(snapshot).toMatchObject({
      name: autoName(at.clock),
      logs: [{ name: 'cache', partitions: [{ startOffset: 0, endOffset: 10 }] }],
    })
    expect(await db.log('cache').read({ from: 0 }).toArray()).toHaveLength(10)
  })

  test('older ones stay while the newest is not good, and the status says why', async () => {
    const at = await place()
    await using db = await open(at, { snapshotInterval: '1h', snapshotKeep: 1 })
    const log = await db.createLog('log')
    await log.append(rows(0, 10))
    at.clock.advance(0)
    await until(async () => (await names(db)).length === 1)
    const root = new URL(at.archive).pathname
    const segments = (await readdir(root, { recursive: true })).filter((path) =>
      path.endsWith('.arrow'),
    )
    expect(segments).toHaveLength(1)
    await rm(`${root}/${segments[0]}`)
    at.clock.advance(HOUR)
    await until(async () => db.status().snapshots?.lastError !== null)
    expect(db.status().snapshots?.lastError).toContain(`${segments[0]} is missing`)
    expect(await names(db)).toHaveLength(2)
  })

  test('what cannot be is refused when the engine is opened', async () => {
    const { dataDir, archive, clock } = await place()
    const problems = async (options: StratalogOptions): Promise<unknown> => {
      const error = await expectError(Stratalog.open(options, { clock }), 'config_invalid')
      return (error.details['problems'] as Array<{ path: string }>).map(({ path }) => path)
    }
    expect(await problems({ dataDir, snapshotInterval: '1h' })).toEqual(['snapshotInterval'])
    expect(await problems({ dataDir, archive, snapshotKeep: 3 })).toEqual(['snapshotKeep'])
    expect(await problems({ dataDir, archive, snapshotInterval: 0, snapshotKeep: 0 })).toEqual([
      'snapshotInterval',
      'snapshotKeep',
    ])
  })
})

function autoName(clock: VirtualClock, ms = 0): string {
  return `auto-${new Date(clock.now() + ms).toISOString().replaceAll(/[:.]/g, '-')}`
}

describe('on the command line', () => {
  async function twoSnapshots(): Promise<Place> {
    const at = await place()
    await using db = await open(at)
    const log = await db.createLog('log')
    await log.append(rows(0, 10))
    await db.snapshot({ name: 'monday' })
    await log.append(rows(10, 5))
    await (await db.createLog('new')).append(rows(0, 2))
    await db.snapshot({ name: 'tuesday' })
    return at
  }

  async function json(...args: readonly string[]): Promise<unknown> {
    const { stdout, status } = await runCli(['snapshot', ...args, '--json'])
    expect(status).toBe(0)
    return JSON.parse(stdout)
  }

  test('show, diff and delete', async () => {
    const { dataDir, archive } = await twoSnapshots()
    const log = { name: 'log', partitions: [{ partition: 0, startOffset: 0, endOffset: 10 }] }
    expect(await json('show', 'monday', '--archive', archive)).toMatchObject({
      name: 'monday',
      logs: [log],
    })
    expect(await json('diff', 'monday', 'tuesday', '--archive', archive)).toMatchObject({
      from: { name: 'monday' },
      to: { name: 'tuesday' },
      records: { added: 7, removed: 0 },
      logs: [
        { name: 'log', change: 'changed', partitions: [{ records: { added: 5, removed: 0 } }] },
        { name: 'new', change: 'added' },
      ],
    })
    const people = await runCli(['snapshot', 'diff', 'monday', 'tuesday', '--archive', archive])
    expect(people.stdout).toContain('7 records more')
    const where = ['--data-dir', dataDir, '--archive', archive]
    expect(await json('delete', 'monday', ...where)).toMatchObject({ name: 'monday', logs: [log] })
    const left = (await json('list', '--archive', archive)) as Array<{ name: string }>
    expect(left.map(({ name }) => name)).toEqual(['tuesday'])
    const { status, stderr } = await runCli(['snapshot', 'show', 'monday', '--archive', archive])
    expect(status).toBe(3)
    expect(stderr).toContain('it holds tuesday')
  })

  test('verify reads what one snapshot needs, and fails when that is damaged', async () => {
    const { archive, dataDir } = await twoSnapshots()
    const monday = await verifyFiles({ archive, snapshot: 'monday' })
    const tuesday = await verifyFiles({ archive, snapshot: 'tuesday' })
    expect([monday.verdict, tuesday.verdict]).toEqual(['PASS', 'PASS'])
    expect(tuesday.files - monday.files).toBe(2)
    const root = new URL(archive).pathname
    const newer = (await readdir(root, { recursive: true })).filter((path) =>
      /\/0*10-[^/]*\.arrow$/.test(path),
    )
    expect(newer).toHaveLength(1)
    await rm(`${root}/${newer[0]}`)
    const verify = (name: string) =>
      runCli(['snapshot', 'verify', name, '--archive', archive, '--json'])
    expect((await verify('monday')).status).toBe(0)
    const failed = await verify('tuesday')
    expect(failed.status).toBe(8)
    expect(JSON.parse(failed.stdout)).toMatchObject({
      verdict: 'FAIL',
      problems: [{ kind: 'missing', log: 'log', partition: 0, from: 10, to: 15 }],
    })
    await expectError(verifyFiles({ archive, snapshot: 'none' }), 'snapshot_not_found')
    await expectError(verifyFiles({ archive, dataDir, snapshot: 'monday' }), 'argument_invalid')
  })
})
