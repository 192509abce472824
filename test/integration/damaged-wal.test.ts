/** A damaged payload in the WAL takes the end of one log, and nothing of the others. */
import { readFile, readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MemoryLogger, silentLogger } from '../../src/base/logger.ts'
import { restoreLogs } from '../../src/engine/restore-logs.ts'
import { Stratalog, verifyFiles } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { type PlacedFrame, damageHeader, damagePayload, walFrames } from '../support/wal-damage.ts'

const QUIET = { logger: silentLogger }

interface Place {
  readonly dataDir: string
  readonly archive: string
}

/** Two logs whose appends of two records each take turns in the WAL: offsets 0 to 10 of both. */
async function twoLogs(): Promise<Place> {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  await using db = await Stratalog.open(place, QUIET)
  const logs = [await db.createLog('hit'), await db.createLog('other')]
  for (let n = 0; n < 10; n += 2)
    for (const log of logs) await log.append([{ n }, { n: n + 1 }], { ack: 'disk' })
  return place
}

/** The frame of the first log that begins at an offset. */
function frameAt({ dataDir }: Place, offset: number, logId = 1): PlacedFrame {
  const found = walFrames(dataDir).find(
    ({ frame }) => frame.kind === 'append' && frame.logId === logId && frame.baseOffset === offset,
  )
  if (found === undefined) throw new Error(`no frame begins at offset ${offset}`)
  return found
}

async function numbers(db: Stratalog, name: string, to?: number): Promise<unknown[]> {
  const rows = await db
    .log(name)
    .read(to === undefined ? {} : { to })
    .toArray()
  return rows.map(({ n }) => n)
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, n) => n)

test('a damaged payload refuses the end of its log, by name, and nothing of the others', async () => {
  const place = await twoLogs()
  const { file, position, frame } = frameAt(place, 4)
  damagePayload(frameAt(place, 4))
  const evidence = await readFile(file)
  const logger = new MemoryLogger()
  await using db = await Stratalog.open(place, { logger })

  const where = { file, position, lsn: frame.lsn, log: 'hit', partition: 0, from: 4, to: 10 }
  const read = await expectError(numbers(db, 'hit'), 'wal_corrupt')
  expect(read.details).toMatchObject(where)
  expect(read.message).toContain(`Offsets [4, 10) of log 'hit', partition 0, cannot be read`)
  expect(await numbers(db, 'hit', 4)).toEqual(upTo(4))
  expect(await db.log('hit').get(3)).toMatchObject({ n: 3 })
  await expectError(db.log('hit').get(4), 'wal_corrupt')
  await expectError(db.log('hit').get(9), 'wal_corrupt')
  expect(await db.log('hit').get(10)).toBeNull()
  await expectError(db.log('hit').read({ last: 2 }).toArray(), 'wal_corrupt')
  await expectError(db.log('hit').read({ from: 4, live: true }).toArray(), 'wal_corrupt')

  const sql = async (text: string): Promise<unknown[]> => (await db.query(text)).toArray()
  await expectError(sql('SELECT sum(n) AS s FROM hit'), 'wal_corrupt')
  expect(await sql('SELECT count(*)::INT AS c FROM hit WHERE _offset < 4')).toEqual([{ c: 4 }])

  const append = await expectError(db.log('hit').append({ n: 4 }), 'wal_corrupt')
  expect(append.details).toMatchObject({ ...where, fate: 'not_applied' })
  await expectError(db.alterLog('hit', { storage: { ack: 'memory' } }), 'wal_corrupt')
  await expectError(db.tier.detach('hit'), 'wal_corrupt')
  await expectError(db.fork('hit', 'all'), 'wal_corrupt')

  const [hit, other] = db.status().logs
  expect(hit?.partitions[0]).toMatchObject({ endOffset: 10, durableOffset: 4 })
  expect(hit?.partitions[0]?.damage).toMatchObject([
    { where: file, position, kind: 'checksum', log: 'hit', from: 4, to: 10, readable: false },
  ])
  expect(other?.partitions[0]?.damage).toEqual([])
  expect(db.log('hit').describe().damage).toMatchObject([{ from: 4, to: 10 }])
  expect(db.log('other').describe()).not.toHaveProperty('damage')
  const told = logger.entries.filter(({ level }) => level === 'error')
  expect(told).toMatchObject([{ fields: { log: 'hit', file, position } }])
  const copy = String(told[0]?.fields['quarantined'])
  expect((await readFile(copy)).equals(evidence)).toBe(true)

  expect(await numbers(db, 'other')).toEqual(upTo(10))
  await db.log('other').append({ n: 10 }, { ack: 'disk' })
  expect(await numbers(db, 'other')).toEqual(upTo(11))
})

test('the damaged frame stays in the WAL, and the damage is the same, whatever else goes on', async () => {
  const place = await twoLogs()
  const hit = frameAt(place, 4)
  damagePayload(hit)
  const bytes = await readFile(hit.file)
  const frameBytes = bytes.subarray(hit.position, hit.position + 80 + hit.frame.payloadLength)
  for (let life = 0; life < 3; life++) {
    await using db = await Stratalog.open({ ...place, walBytesMax: '1MiB' }, QUIET)
    for (let n = 0; n < 40; n++)
      await db.log('other').append({ n: 10 + life * 40 + n, text: 'x'.repeat(100_000) })
    await db.tier.now({ to: 'object' })
    const { details } = await expectError(numbers(db, 'hit'), 'wal_corrupt')
    expect(details).toMatchObject({ file: hit.file, position: hit.position, from: 4, to: 10 })
    expect(await numbers(db, 'hit', 4)).toEqual(upTo(4))
    expect(await numbers(db, 'other')).toEqual(upTo(50 + life * 40))
    const now = await readFile(hit.file)
    expect(now.subarray(hit.position, hit.position + frameBytes.length)).toEqual(frameBytes)
  }
  await using reader = await Stratalog.openReadOnly(place, QUIET)
  await expectError(numbers(reader, 'hit'), 'wal_corrupt')
  expect(await numbers(reader, 'other')).toHaveLength(130)
})

test('a damaged payload whose records are in a segment costs nothing, and is told of', async () => {
  const root = await temporaryDirectory()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place, QUIET)
    const [hit, pin] = [await db.createLog('hit'), await db.createLog('pin')]
    await pin.append({ n: 0 })
    await hit.append([{ n: 0 }, { n: 1 }], { producer: { producerId: 'p', epoch: 1, sequence: 0 } })
    await db.tier.now({ logs: ['hit'], to: 'disk' })
  }
  damagePayload(frameAt(place, 0))
  const logger = new MemoryLogger()
  await using db = await Stratalog.open(place, { logger })
  expect(logger.entries.filter(({ level }) => level === 'warn')).toMatchObject([
    { message: expect.stringContaining('where nothing needs it') as unknown },
  ])
  expect(await numbers(db, 'hit')).toEqual([0, 1])
  // Its producer is known from the commit of the segment.
  const producer = { producerId: 'p', epoch: 1, sequence: 0 }
  expect(await db.log('hit').append([{ n: 0 }, { n: 1 }], { producer })).toMatchObject({
    offset: 0,
    isDuplicate: true,
  })
  await db.log('hit').append({ n: 2 })
  expect(await numbers(db, 'hit')).toEqual([0, 1, 2])
})

test('a damaged schema takes what needs it, and no other log', async () => {
  const place = await twoLogs()
  const schema = walFrames(place.dataDir).find(
    ({ frame }) => frame.kind === 'schema' && frame.logId === 1,
  )
  if (schema === undefined) throw new Error('no schema frame')
  damagePayload(schema)
  await using db = await Stratalog.open(place, QUIET)
  const { details } = await expectError(numbers(db, 'hit'), 'wal_corrupt')
  expect(details).toMatchObject({ position: schema.position, from: 0, to: 10 })
  await expectError(db.log('hit').append({ n: 1 }), 'wal_corrupt')
  expect(await numbers(db, 'other')).toEqual(upTo(10))
})

test('a damaged header refuses the directory: nothing behind it can be told apart', async () => {
  const place = await twoLogs()
  damageHeader(frameAt(place, 4))
  await expectError(Stratalog.open(place), 'wal_corrupt')
})

test('verify names what a damaged payload costs, and goes on behind it', async () => {
  const place = await twoLogs()
  const { file, position } = frameAt(place, 4)
  damagePayload(frameAt(place, 4))
  const report = await verifyFiles({ dataDir: place.dataDir })
  expect(report).toMatchObject({ verdict: 'FAIL' })
  expect(report.problems).toMatchObject([
    { where: file, position, kind: 'checksum', log: 'hit', partition: 0, from: 4, to: 10 },
  ])
})

test('a damaged log is restored from the archive under another name, and deleted', async () => {
  const place = await twoLogs()
  {
    await using db = await Stratalog.open(place, QUIET)
    await db.tier.now({ to: 'object' })
    for (const name of ['hit', 'other'])
      for (let n = 10; n < 16; n += 2)
        await db.log(name).append([{ n }, { n: n + 1 }], { ack: 'disk' })
  }
  damagePayload(frameAt(place, 12))
  await using db = await Stratalog.open(place, QUIET)
  expect(await numbers(db, 'hit', 12)).toEqual(upTo(12))
  const { details } = await expectError(numbers(db, 'hit'), 'wal_corrupt')
  expect(details).toMatchObject({ from: 12, to: 16 })
  const restored = { archive: place.archive, logs: ['hit'], rename: { hit: 'restored' } }
  expect(await restoreLogs(db, restored)).toMatchObject({ records: 10, missing: [], corrupt: [] })
  await db.deleteLog('hit')
  await db.log('restored').append({ n: 100 })
  expect(await numbers(db, 'restored')).toEqual([...upTo(10), 100])
  expect(await numbers(db, 'other')).toEqual(upTo(16))
})

test('a damaged log is forked as far as it goes, deleted, and lets go of the WAL', async () => {
  const place = await twoLogs()
  const hit = frameAt(place, 4)
  damagePayload(hit)
  {
    await using db = await Stratalog.open(place, QUIET)
    await db.fork('hit', 'mended', { atOffset: 4 })
    await db.log('mended').append({ n: 40 })
    expect(await numbers(db, 'mended')).toEqual([...upTo(4), 40])
    await db.deleteLog('hit')
    await db.tier.now({ to: 'disk' })
  }
  {
    await using db = await Stratalog.open(place, QUIET)
    expect(await numbers(db, 'mended')).toEqual([...upTo(4), 40])
    expect(await numbers(db, 'other')).toEqual(upTo(10))
    expect(() => db.log('hit')).toThrow(expect.objectContaining({ code: 'log_not_found' }))
    await db.createLog('hit')
    await db.log('hit').append({ n: 7 })
  }
  const files = await readdir(`${place.dataDir}/wal`)
  expect(files.some((name) => hit.file.endsWith(name))).toBe(false)
  expect(await verifyFiles({ dataDir: place.dataDir })).toMatchObject({ verdict: 'PASS' })
})
