/** Records of logs in RAM that a snapshot brought to the archive, and whose time is over when they are read there. */
import { expect, test } from 'vitest'
import { Stratalog, type StratalogOptions, VirtualClock, restoreArchive } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const MINUTE = 60_000

interface Place {
  readonly root: string
  readonly archive: string
  readonly clock: VirtualClock
}

/** Two records without end beside three of a minute and two of an hour, in an archive. */
async function archived(): Promise<Place> {
  const root = await temporaryDirectory()
  const at = { root, archive: `file://${root}/archive`, clock: new VirtualClock() }
  await using db = await open(at)
  const log = await db.createLog('log', { schema: { n: 'int32' }, storage: { mode: 'memory' } })
  await log.append([{ n: 0 }])
  await log.append([{ n: 1 }, { n: 2 }, { n: 3 }], { ttl: '1m' })
  await log.append([{ n: 4 }, { n: 5 }], { ttl: '1h' })
  await log.append([{ n: 6 }])
  await db.snapshot({ name: 's0' })
  return at
}

function open({ root, archive, clock }: Place, more: StratalogOptions = {}): Promise<Stratalog> {
  return Stratalog.open({ dataDir: `${root}/data`, archive, ...more }, { clock })
}

async function read(db: Stratalog, asOf?: string): Promise<readonly unknown[]> {
  const options = asOf === undefined ? {} : { asOf }
  return (await db.log('log').read(options).toArray()).map((row) => row['n'])
}

test('what is over is not read, by no way, and is a gap that no reader fails for', async () => {
  const at = await archived()
  at.clock.advance(2 * MINUTE)
  await using db = await open(at)
  expect(await read(db)).toEqual([0, 4, 5, 6])
  expect(await read(db, 's0')).toEqual([0, 4, 5, 6])
  expect(
    await db
      .log('log')
      .get(2, { partition: 0 })
      .catch(() => null),
  ).toBeNull()
  const sql = await db.query('SELECT list(n ORDER BY n)::VARCHAR AS n FROM log')
  expect(await sql.toArray()).toEqual([{ n: '[0, 4, 5, 6]' }])
  const gaps: unknown[] = []
  await db
    .log('log')
    .read({ onGap: ({ from, to, cause }) => gaps.push([from, to, cause]) })
    .toArray()
  expect(gaps).toEqual([[1, 4, 'expired']])
  at.clock.advance(60 * MINUTE)
  expect(await read(db)).toEqual([0, 6])
})

test('all of a log being over leaves it empty, also after a second restart', async () => {
  const root = await temporaryDirectory()
  const at = { root, archive: `file://${root}/archive`, clock: new VirtualClock() }
  {
    await using db = await open(at)
    const storage = { mode: 'memory', ttl: '1m' } as const
    const log = await db.createLog('log', { schema: { n: 'int32' }, storage })
    await log.append([{ n: 1 }, { n: 2 }])
    await db.snapshot({ name: 's0' })
  }
  at.clock.advance(60 * MINUTE)
  for (let life = 0; life < 2; life++) {
    await using db = await open(at)
    expect(await read(db)).toEqual([])
    await using archive = await Stratalog.openArchive(at.archive, {}, { clock: at.clock })
    expect(await archive.log('log').read().toArray()).toEqual([])
  }
})

test('an archive by itself, a copy that only reads and a restored directory leave it out too', async () => {
  const at = await archived()
  at.clock.advance(2 * MINUTE)
  {
    await using archive = await Stratalog.openArchive(at.archive, {}, { clock: at.clock })
    const rows = await archive.log('log').read().toArray()
    expect(rows.map((row) => row['n'])).toEqual([0, 4, 5, 6])
    const sql = await archive.query('SELECT count(*)::INT AS n FROM log')
    expect(await sql.toArray()).toEqual([{ n: 4 }])
  }
  {
    await using reader = await Stratalog.openReadOnly(
      { dataDir: `${at.root}/data`, archive: at.archive },
      { clock: at.clock },
    )
    expect(await read(reader)).toEqual([])
  }
  const offsets = { toOffsets: [{ log: 'log', partition: 0, offset: 5 }] }
  for (const [name, part] of [
    ['all', {}],
    ['part', offsets],
  ] as const) {
    const dataDir = `${at.root}/${name}`
    await restoreArchive({ archive: at.archive, dataDir, eager: true, ...part })
    await using db = await Stratalog.open({ dataDir }, { clock: at.clock })
    expect(await read(db)).toEqual(name === 'all' ? [0, 4, 5, 6] : [0, 4])
  }
})
