/**
 * Acknowledgement levels of a whole engine on real files. What a kill would leave is a copy of the directory, taken
 * when an append was acknowledged.
 */
import { cp } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import {
  type AppendOptions,
  type StorageOptions,
  Stratalog,
  VirtualClock,
  restoreArchive,
} from '../../src/index.ts'
import { eventually } from '../support/eventually.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

type Level = NonNullable<AppendOptions['ack']>
const LEVELS: readonly Level[] = ['memory', 'disk', 'object']

interface Combination {
  readonly mode: 'memory' | 'persistent' | 'hybrid'
  readonly wal: boolean
  readonly hasArchive: boolean
}

const COMBINATIONS: readonly Combination[] = (['memory', 'persistent', 'hybrid'] as const).flatMap(
  (mode) =>
    [true, false].flatMap((wal) => [true, false].map((hasArchive) => ({ mode, wal, hasArchive }))),
)

/** The levels that a log may have, and each of its appends; none where the combination is refused itself. */
function levelsOf({ mode, wal, hasArchive }: Combination): readonly Level[] {
  if (mode === 'memory') return wal ? [] : ['memory']
  if (mode === 'persistent') return wal ? ['memory', 'disk'] : []
  return ['memory', ...(wal ? ['disk' as const] : []), ...(hasArchive ? ['object' as const] : [])]
}

const nameOf = ({ mode, wal, hasArchive }: Combination): string =>
  `${mode} ${wal ? 'with' : 'without'} a WAL, ${hasArchive ? 'with' : 'without'} an archive`

/** What of a directory is there after a kill at this moment. */
async function recovered(root: string, step: number): Promise<unknown[]> {
  await cp(`${root}/data`, `${root}/killed-${step}`, { recursive: true })
  await using db = await Stratalog.open({ dataDir: `${root}/killed-${step}` })
  return (await db.log('log').read().toArray()).map((row) => row['n'])
}

async function archived(root: string, step: number): Promise<unknown[]> {
  const dataDir = `${root}/restored-${step}`
  await restoreArchive({ archive: `file://${root}/archive`, dataDir })
  await using db = await Stratalog.open({ dataDir })
  return (await db.log('log').read().toArray()).map((row) => row['n'])
}

describe.each(COMBINATIONS.map((combination) => [nameOf(combination), combination] as const))(
  '%s',
  (_, combination) => {
    const { mode, wal, hasArchive } = combination
    const allowed = levelsOf(combination)
    const open = (root: string): Promise<Stratalog> =>
      Stratalog.open({
        dataDir: `${root}/data`,
        ...(hasArchive ? { archive: `file://${root}/archive` } : {}),
      })

    test(`takes the levels ${allowed.join(', ') || 'none'}, and refuses others`, async () => {
      const root = await temporaryDirectory()
      await using db = await open(root)
      for (const ack of LEVELS) {
        const creation = db.createLog(ack, { storage: { mode, wal, ack } })
        if (!allowed.includes(ack)) await expectError(creation, 'config_invalid')
        else expect((await creation).describe().policy).toMatchObject({ mode, wal, ack })
      }
      if (allowed.length === 0) return
      const log = await db.createLog('log', { storage: { mode, wal } })
      for (const ack of LEVELS.filter((level) => !allowed.includes(level)))
        await expectError(log.append({ n: 1 }, { ack }), 'argument_invalid')
      expect(await log.read().toArray()).toEqual([])
    })

    test.each(allowed)('an append at %s is where its level says', async (ack) => {
      const root = await temporaryDirectory()
      await using db = await open(root)
      await db.tier.pause()
      const log = await db.createLog('log', { storage: { mode, wal, ack } })
      await log.append({ n: 1 })
      expect((await log.read().toArray()).map((row) => row['n'])).toEqual([1])
      if (ack === 'object') expect(await archived(root, 0)).toEqual([1])
      if (ack !== 'memory') expect(await recovered(root, 0)).toEqual([1])
      // One that asks for less than the log is read no earlier.
      if (ack !== 'object') return
      await log.append({ n: 2 }, { ack: wal ? 'disk' : 'memory' })
      expect((await log.read().toArray()).map((row) => row['n'])).toEqual([1])
      await db.tier.now()
      expect((await log.read().toArray()).map((row) => row['n'])).toEqual([1, 2])
    })
  },
)

test('what may be lost is said of each log', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({
    dataDir: `${root}/data`,
    archive: `file://${root}/archive`,
  })
  const cases: readonly (readonly [StorageOptions, number | null])[] = [
    [{ mode: 'memory' }, null],
    [{ mode: 'persistent' }, 0],
    [{ mode: 'hybrid' }, 0],
    [{ mode: 'hybrid', ack: 'memory' }, null],
    [{ mode: 'hybrid', ack: 'object' }, 0],
    [{ mode: 'hybrid', wal: false, diskAfter: '30s' }, 30_000],
    [{ mode: 'hybrid', wal: false, localDisk: false, archiveAfter: '2m' }, 120_000],
    [{ mode: 'hybrid', wal: false, ack: 'object' }, 0],
  ]
  for (const [index, [storage, rpoMs]] of cases.entries()) {
    const log = await db.createLog(`log-${index}`, { storage })
    expect(log.describe().rpoMs, JSON.stringify(storage)).toBe(rpoMs)
  }
  expect(db.status().logs.map((log) => log.rpoMs)).toEqual(cases.map(([, rpoMs]) => rpoMs))
})

test('without a WAL a record is on disk when its RPO is over', async () => {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  await using db = await Stratalog.open({ dataDir: `${root}/data` }, { clock })
  const log = await db.createLog('log', {
    storage: { wal: false, diskAfter: '30s', memoryTtl: '1h' },
  })
  await log.append({ n: 1 })
  clock.advance(29_000)
  expect(await recovered(root, 0)).toEqual([])
  clock.advance(1_250)
  await eventually(() =>
    expect(db.status().logs[0]?.partitions[0]?.tiers.disk).toMatchObject({ records: 1 }),
  )
  expect(await recovered(root, 1)).toEqual([1])
})

test('appends that wait for the archive share the upload that begins within 250 ms of the first', async () => {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  await using db = await Stratalog.open(
    { dataDir: `${root}/data`, archive: `file://${root}/archive` },
    { clock },
  )
  const log = await db.createLog('log')
  let settled = 0
  const append = (n: number): Promise<void> =>
    log.append({ n }, { ack: 'object' }).then(() => {
      settled++
    })
  const appends = [append(0), append(1)]
  const at = (): number => db.status().logs[0]?.partitions[0]?.durableOffset ?? 0
  await eventually(() => expect(at()).toBe(2))
  // Their continuations run before a timer of the event loop does.
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(200)
  appends.push(append(2))
  await eventually(() => expect(at()).toBe(3))
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(49)
  await new Promise((resolve) => setImmediate(resolve))
  expect(settled).toBe(0)
  clock.advance(1)
  await Promise.all(appends)
  expect(db.status().logs[0]?.partitions[0]).toMatchObject({
    archivedOffset: 3,
    tiers: { object: { segments: 1 } },
  })
})

test('an engine that was opened without the archive of a log says so', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const first = await Stratalog.open(options)
  await (await first.createLog('log', { storage: { ack: 'object' } })).append({ n: 1 })
  await first.close()
  await using db = await Stratalog.open({ dataDir: options.dataDir })
  await expectError(db.log('log').append({ n: 2 }), 'argument_invalid')
  await expectError(db.log('log').append({ n: 2 }, { ack: 'object' }), 'argument_invalid')
  expect(await db.log('log').read().toArray()).toHaveLength(1)
})
