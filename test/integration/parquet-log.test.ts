/** A log of Parquet segments does all that one of Arrow segments does. */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import {
  Stratalog,
  VirtualClock,
  drillArchive,
  restoreArchive,
  verifyFiles,
} from '../../src/index.ts'
import { runCli } from '../support/cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000
const COUNT = 3_000

/** No value that JSON or SQL has no word for. */
function rows(from: number, to: number): Record<string, unknown>[] {
  return Array.from({ length: to - from }, (_, index) => {
    const n = from + index
    return {
      n,
      at: new Date(1_700_000_000_000 + n * 1000),
      city: ['Wien', 'Graz', null][n % 3],
      price: n % 7 === 0 ? null : n / 4,
      tags: n % 5 === 0 ? null : [`a${n % 3}`, null],
    }
  })
}

/** The format of each segment. */
async function segmentFormats(directory: string): Promise<string[]> {
  const names = await readdir(directory, { recursive: true })
  return names.flatMap((name) => /\.(arrow|parquet)$/.exec(name)?.slice(1) ?? [])
}

test('is read, queried, verified, inspected, dumped, restored, drilled, and equal by hash to one of Arrow', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place)
    await db.tier.pause()
    for (const segmentFormat of ['arrow', 'parquet'] as const) {
      const storage = { segmentFormat, diskTtl: '1h', archiveAfter: '0ms' }
      const log = await db.createLog(segmentFormat, { timeColumn: 'at', storage })
      await log.append(rows(0, COUNT / 2))
      await db.tier.now()
      await log.append(rows(COUNT / 2, COUNT))
      await db.tier.now()
    }
  }
  expect((await segmentFormats(`${root}/data`)).toSorted()).toEqual(
    (await segmentFormats(`${root}/archive`)).toSorted(),
  )
  expect(await segmentFormats(`${root}/data/segments/2`)).toEqual(['parquet', 'parquet'])
  expect(await verifyFiles(place)).toMatchObject({ verdict: 'PASS', problems: [] })

  {
    await using db = await Stratalog.open(place)
    const given = await db.log('parquet').read().toArray()
    expect(given.map(({ n, at, city, price, tags }) => ({ n, at, city, price, tags }))).toEqual(
      rows(0, COUNT),
    )
    const since = new Date(1_700_000_000_000 + 2_990 * 1000)
    const few = await db
      .log('parquet')
      .read({ since, columns: ['n'] })
      .toArray()
    expect(few.map(({ n }) => n)).toEqual([
      2990, 2991, 2992, 2993, 2994, 2995, 2996, 2997, 2998, 2999,
    ])
    const sql = (log: string): Promise<unknown> =>
      db
        .query(
          `SELECT city, count(*)::INT AS n, sum(price) AS price, count(tags)::INT AS tags
           FROM ${log}$cold GROUP BY city ORDER BY city`,
        )
        .then((result) => result.toArray())
    expect(await sql('parquet')).toEqual(await sql('arrow'))
  }

  const drill = await drillArchive({ archive: place.archive })
  expect(drill).toMatchObject({ verdict: 'PASS' })
  const [arrow, parquet] = drill.logs
  expect(parquet?.records).toBe(COUNT)
  expect(parquet?.hash).toBe(arrow?.hash)
  const restored = await restoreArchive({
    archive: place.archive,
    dataDir: `${root}/restored`,
    eager: true,
  })
  expect(restored).toMatchObject({ records: COUNT * 2, verified: true })
  // Part of a segment: it is cut, and stays Parquet.
  const cut = {
    archive: place.archive,
    dataDir: `${root}/cut`,
    toOffsets: [{ log: 'parquet', partition: 0, offset: 1_000 }],
  }
  expect(await restoreArchive({ ...cut, logs: ['parquet'] })).toMatchObject({ records: 1_000 })
  expect(await segmentFormats(`${root}/cut`)).toEqual(['parquet'])

  const [name] = (await readdir(`${root}/data/segments/2/0`)).toSorted()
  const inspected = await runCli(['inspect', `${root}/data/segments/2/0/${name}`, '--json'])
  expect(JSON.parse(inspected.stdout)).toMatchObject({
    kind: 'segment',
    format: 'parquet',
    logName: 'parquet',
    records: COUNT / 2,
    verified: true,
  })
  const dumped = await runCli(['dump', '--data-dir', `${root}/data`])
  expect(dumped.stdout.split('\n').filter((line) => line.includes('"record"'))).toHaveLength(
    COUNT * 2,
  )
})

test('is what a log of Arrow segments becomes with age, also when its policy is changed in use', async () => {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place, { clock })
    await db.tier.pause()
    const log = await db.createLog('log', { storage: { diskTtl: '30d' } })
    for (let part = 0; part < 3; part++) {
      await log.append(rows(part * 100, part * 100 + 100))
      await db.tier.now()
    }
    await db.alterLog('log', { storage: { parquetAfter: '7d' } })
    clock.advance(6 * 24 * HOUR)
    while ((await db.tier.run()).length > 0);
    expect(await segmentFormats(`${root}/data`)).toEqual(
      ['0.arrow', '0.arrow', '0.arrow'].map(() => expect.stringMatching(/arrow$/)),
    )
    clock.advance(2 * 24 * HOUR)
    while ((await db.tier.run()).length > 0);
    expect(await segmentFormats(`${root}/data`)).toEqual(['parquet'])
    expect((await db.log('log').read().toArray()).map(({ n }) => n)).toEqual(
      rows(0, 300).map(({ n }) => n),
    )
    expect(await (await db.query('SELECT count(*)::INT AS n FROM log')).toArray()).toEqual([
      { n: 300 },
    ])
  }
  expect(await verifyFiles(place)).toMatchObject({ verdict: 'PASS', notes: [] })
  const restored = await restoreArchive({
    archive: place.archive,
    dataDir: `${root}/restored`,
    eager: true,
  })
  expect(restored).toMatchObject({ records: 300, verified: true })
})
