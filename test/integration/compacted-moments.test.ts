/** A log that keeps the latest, asked for as of a moment from which versions are gone that were the newest then. */
import { expect, test } from 'vitest'
import {
  type Log,
  Stratalog,
  VirtualClock,
  planRestoreArchive,
  restoreArchive,
} from '../../src/index.ts'
import { restoreLogs } from '../../src/engine/restore-logs.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Asked {
  readonly root: string
  readonly archive: string
  readonly clock: VirtualClock
  readonly db: Stratalog
  readonly log: Log
  /** When k0 and k1 had versions that are gone by now, and the hash of the state then. */
  readonly gone: number
  readonly goneHash: string | null
  /** After the last record that compaction looked at. */
  readonly kept: number
  readonly keptHash: string | null
}

async function asked(withSnapshot = false): Promise<Asked> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock(1_700_000_000_000)
  const archive = `file://${root}/archive`
  const db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
  await db.tier.pause()
  const log = await db.createLog('log', {
    keyColumn: 'key',
    schema: { key: 'utf8', n: 'int32' },
    storage: { keep: 'latest', memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m' },
  })
  for (let part = 0; part < 3; part++) {
    await log.append(Array.from({ length: 10 }, (_, row) => ({ key: `k${row % 3}`, n: row })))
    await db.tier.now()
    clock.advance(1000)
  }
  const gone = clock.now()
  const goneHash = await log.latestHash()
  if (withSnapshot) await db.snapshot({ name: 'then' })
  clock.advance(1000)
  await log.append([0, 1].map((key) => ({ key: `k${key}`, n: 100 + key })))
  await db.tier.now({ to: 'object' })
  clock.advance(HOUR)
  await db.tier.resume()
  while ((await db.tier.run()).length > 0);
  await db.tier.compact()
  await db.tier.pause()
  const kept = clock.now()
  const keptHash = await log.latestHash()
  clock.advance(1000)
  await log.append({ key: 'k2', n: 200 })
  await db.tier.now({ to: 'object' })
  return { root, archive, clock, db, log, gone, goneHash, kept, keptHash }
}

type Ask = (from: Asked, at: number) => Promise<unknown>

const SQL = 'SELECT count(*)::INT AS count FROM "log$latest"'

/** Each gives the count of keys, or the hash of the state. */
const ASKS: readonly (readonly [string, Ask])[] = [
  ['a read', async ({ log }, asOf) => (await log.read({ asOf }).toArray()).length],
  ['a query', async ({ db }, asOf) => (await (await db.query(SQL, [], { asOf })).toJson()).rows],
  ['the hash of the state', ({ log }, asOf) => log.latestHash({ asOf })],
  [
    'a read of the archive by itself',
    async ({ archive, clock }, asOf) => {
      await using reader = await Stratalog.openArchive(archive, {}, { clock })
      return (await reader.log('log').read({ asOf }).toArray()).length
    },
  ],
  ['a fork', async ({ db }, at) => (await db.fork('log', `fork-${at}`, { at })).latestHash()],
  [
    'the plan of a restore',
    ({ archive, clock }, at) => planRestoreArchive({ archive, at }, { clock }),
  ],
  [
    'a restore',
    async ({ archive, clock, root }, at) => {
      const dataDir = `${root}/restored-${at}`
      await restoreArchive({ archive, at, dataDir }, { clock })
      await using restored = await Stratalog.openReadOnly({ dataDir }, { clock })
      return await restored.log('log').latestHash()
    },
  ],
  [
    'a restore into a running engine',
    async ({ archive, root }, at) => {
      await using target = await Stratalog.open({ dataDir: `${root}/server-${at}` })
      await restoreLogs(target, { archive, at, logs: ['log'] })
      return await target.log('log').latestHash()
    },
  ],
]

test.each(ASKS)('%s as of a moment that compaction took something from says so', async (_, ask) => {
  const from = await asked()
  await using _db = from.db
  const error = await expectError(ask(from, from.gone), 'moment_compacted')
  expect(error.details).toMatchObject({ log: 'log', partition: 0, endOffset: 30, latestTo: 32 })
  const answer = await ask(from, from.kept)
  if (typeof answer === 'string') expect(answer).toBe(from.keptHash)
})

test.each(ASKS)('%s as of the moment of a snapshot has what the snapshot has', async (_, ask) => {
  const from = await asked(true)
  await using _db = from.db
  const answer = await ask(from, from.gone)
  if (typeof answer === 'string') expect(answer).toBe(from.goneHash)
})

test('a replay up to a moment says from which offset on the state is told', async () => {
  const from = await asked()
  await using _db = from.db
  await using target = await Stratalog.memoryOnly()
  const until = from.gone
  const report = await target.replayFromArchive(from.archive, { until })
  expect(report.logs).toMatchObject([
    { latestHash: null, compacted: [{ partition: 0, latestTo: 32 }] },
  ])
  await using later = await Stratalog.memoryOnly()
  const whole = await later.replayFromArchive(from.archive, { until: from.kept + 1 })
  expect(whole.logs).toMatchObject([{ latestHash: from.keptHash, compacted: [{ latestTo: 32 }] }])
})
