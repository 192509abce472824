/** Control over tier moves: pauses that hold, logs that are detached to the archive and attached from it. */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stratalog, VirtualClock, restoreArchive, verifyFiles } from '../../src/index.ts'
import { runCli } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

interface Place {
  readonly root: string
  readonly dataDir: string
  readonly archive: string
  readonly clock: VirtualClock
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive`, clock }
}

function open({ dataDir, archive, clock }: Place): Promise<Stratalog> {
  return Stratalog.open({ dataDir, archive, scrubInterval: 0 }, { clock })
}

async function numbers(db: Stratalog, log: string): Promise<unknown[]> {
  return (await db.log(log).read({ from: 0 }).toArray()).map((row) => row['n'])
}

async function filesOf({ dataDir }: Place, logId: number): Promise<string[]> {
  const entries = await readdir(`${dataDir}/segments`, { recursive: true, withFileTypes: true })
  return entries.flatMap((entry) =>
    entry.isFile() && entry.parentPath.includes(`/segments/${logId}/`) ? [entry.name] : [],
  )
}

const TEN = Array.from({ length: 10 }, (_, n) => ({ n }))
const ZERO_TO_NINE = TEN.map(({ n }) => n)

/** The logs `a` and `b` of ten records, all in the archive and on disk. */
async function filled(at: Place): Promise<Stratalog> {
  const db = await open(at)
  for (const name of ['a', 'b']) await (await db.createLog(name)).append(TEN)
  await db.tier.now()
  return db
}

test('a pause holds through restarts, says since when, and ends with a resume', async () => {
  const at = await place()
  {
    await using db = await filled(at)
    await db.log('a').append({ n: 10 })
    await db.tier.pause({ logs: ['a'] })
    at.clock.advance(5_000)
    await db.tier.pause({ logs: ['a'] })
    const [a, b] = db.status().logs
    expect(a?.paused).toMatchObject({ forMs: 5_000 })
    expect(a?.partitions[0]?.next).toMatchObject({ action: 'paused', inMs: 0 })
    expect(a?.partitions[0]?.next?.why).toContain('then flush')
    expect([b?.paused, db.status().paused]).toEqual([null, null])
  }
  await using again = await open(at)
  at.clock.advance(1_000)
  expect(again.status().logs[0]?.paused).toMatchObject({ forMs: 6_000 })
  // Who asks gets it.
  expect(await again.tier.now()).toMatchObject({ pending: 0, failed: [] })
  await again.tier.pause()
  expect(again.status().paused).toMatchObject({ forMs: 0 })
  expect(again.status().logs.map(({ paused }) => paused?.forMs)).toEqual([6_000, 0])
  await expectError(again.tier.resume({ logs: ['a'] }), 'argument_invalid')
  await again.tier.resume()
  await again.tier.resume()
  expect(again.status().logs.map(({ paused }) => paused)).toEqual([null, null])
  await expectError(again.tier.pause({ logs: ['nothing'] }), 'log_not_found')
  await using inRam = await Stratalog.memoryOnly()
  await expectError(inRam.tier.pause(), 'argument_invalid')
})

test('a log that is detached leaves the directory, stays in the archive, and comes back when it is attached', async () => {
  const at = await place()
  {
    await using db = await filled(at)
    expect(await filesOf(at, 1)).toHaveLength(1)
    const handle = db.log('a')
    const report = await db.tier.detach('a')
    expect(report).toMatchObject({ pending: 0, failed: [] })
    expect(report.moved).toMatchObject([
      { log: 'a', partition: 0, from: 0, to: 10, fromTier: 'disk', toTier: 'object' },
    ])
    expect(db.logs().map(({ name }) => name)).toEqual(['b'])
    await expectError(handle.append({ n: 10 }), 'engine_closed')
    await expectError(db.createLog('a'), 'log_exists')
    await expectError(db.tier.detach('a'), 'log_not_found')
  }
  {
    await using db = await open(at)
    expect(await filesOf(at, 1)).toEqual([])
    expect(db.logs().map(({ name }) => name)).toEqual(['b'])
    await expectError(db.createLog('a'), 'log_exists')
    expect(await db.tier.attach('a')).toMatchObject({ log: 'a', segments: 1, records: 10 })
    await expectError(db.tier.attach('a'), 'log_exists')
    expect(await numbers(db, 'a')).toEqual(ZERO_TO_NINE)
    expect(await db.log('a').append({ n: 10 })).toMatchObject({ offset: 10 })
  }
  await using last = await open(at)
  expect(await numbers(last, 'a')).toEqual([...ZERO_TO_NINE, 10])
  await last.tier.now()
  const sound = await verifyFiles({ dataDir: at.dataDir, archive: at.archive })
  expect(sound).toMatchObject({ verdict: 'PASS' })
  await restoreArchive({ archive: at.archive, dataDir: `${at.root}/restored` })
  await using restored = await Stratalog.openReadOnly({ dataDir: `${at.root}/restored` })
  expect(await numbers(restored, 'a')).toEqual([...ZERO_TO_NINE, 10])
})

test('a directory that detached a log verifies, with the WAL still speaking of it', async () => {
  const at = await place()
  await using db = await filled(at)
  await db.tier.detach('a')
  expect(await verifyFiles({ dataDir: at.dataDir, archive: at.archive })).toMatchObject({
    verdict: 'PASS',
  })
})

test('what cannot be detached or attached is refused, and nothing has changed', async () => {
  const at = await place()
  await using db = await filled(at)
  await db.log('a').append({ n: 10 })
  const error = await expectError(db.tier.detach('a'), 'log_not_archived')
  expect(error.details).toMatchObject({ log: 'a', partition: 0, from: 10, to: 11 })
  expect(await numbers(db, 'a')).toEqual([...ZERO_TO_NINE, 10])
  await expectError(db.tier.attach('a'), 'log_exists')
  const missing = await expectError(db.tier.attach('nothing'), 'log_not_found')
  expect(missing.details).toMatchObject({ attachable: [] })
  await expectError(db.tier.attach('-'), 'log_name_invalid')
  await using alone = await Stratalog.open({ dataDir: `${at.root}/alone` })
  await alone.createLog('a')
  await expectError(alone.tier.detach('a'), 'argument_invalid')
  await expectError(alone.tier.attach('b'), 'argument_invalid')
})

test('on the command line', { timeout: 120_000 }, async () => {
  const at = await place()
  const where = ['--data-dir', at.dataDir, '--archive', at.archive]
  const json = async (...command: readonly string[]): Promise<[number | null, unknown]> => {
    const { status, stdout } = await runCli(['tier', ...command, ...where, '--json'])
    return [status, stdout === '' ? null : (JSON.parse(stdout) as unknown)]
  }
  const db = await filled(at)
  expect((await json('detach', '--log', 'a'))[0]).toBe(4)
  await db.close()
  expect(await json('pause', '--log', 'a')).toMatchObject([
    0,
    {
      moved: [],
      pending: 0,
      failed: [],
      paused: null,
      logs: [{ name: 'a', paused: {} }, { name: 'b' }],
    },
  ])
  expect(await json('describe')).toMatchObject([0, { logs: [{ paused: {} }, { paused: null }] }])
  expect((await json('resume'))[0]).toBe(0)
  expect((await json('pause', '--log', 'nothing'))[0]).toBe(3)
  expect(await json('detach', '--log', 'a')).toMatchObject([
    0,
    { log: 'a', moved: [{ log: 'a', from: 0, to: 10 }], pending: 0, failed: [] },
  ])
  expect((await json('detach', '--log', 'a'))[0]).toBe(3)
  expect(await json('attach', '--log', 'a')).toMatchObject([
    0,
    { log: 'a', moved: [], pending: 0, failed: [], records: 10 },
  ])
  expect((await json('attach', '--log', 'a'))[0]).toBe(4)
})
