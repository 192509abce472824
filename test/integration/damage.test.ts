/** A damaged file is named, with what it costs, and everything else stays readable. */
import { readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { Stratalog, StratalogError, verifyFiles } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { walFrames } from '../support/wal-damage.ts'

const FLUSHED = 2_000

function lettersOf(count: number): number {
  return Array.from({ length: count }, (_, id) => `note ${id * 7919}`).join('').length
}

async function flipBit(directory: string, position: number): Promise<string> {
  const [name = ''] = await readdir(directory)
  const bytes = await readFile(`${directory}/${name}`)
  bytes[position] = (bytes[position] ?? 0) ^ 1
  await writeFile(`${directory}/${name}`, bytes)
  return name
}

/** Makes a statement read all columns: damage of one that is not read does not matter to it. */
const EVERY_COLUMN = 'WHERE id >= 0 AND _time IS NOT NULL'

test('a damaged segment is named by reads, SQL and uploads, and the records around it are served', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const db = await Stratalog.open(options)
  const log = await db.createLog('orders')
  await log.append(Array.from({ length: FLUSHED }, (_, id) => ({ id, note: `note ${id * 7919}` })))
  await db.tier.now({ to: 'disk' })
  await log.append({ id: FLUSHED, note: 'after' })
  await db.close()
  const name = await flipBit(`${root}/data/segments/1/0`, 3_000)

  await using again = await Stratalog.open(options)
  const orders = again.log('orders')
  const read = await expectError(orders.read().toArray(), 'segment_corrupt')
  expect(read.message).toContain(name)
  expect(read.details).toMatchObject({
    log: 'orders',
    partition: 0,
    from: 0,
    to: FLUSHED,
    tier: 'disk',
  })
  expect(await orders.get(FLUSHED)).toMatchObject({ id: FLUSHED, note: 'after' })

  const summing = again
    .query(`SELECT sum(length(note)) AS letters FROM orders ${EVERY_COLUMN}`)
    .then((result) => result.toArray())
  const sql = await expectError(summing, 'segment_corrupt')
  expect(sql.message).toContain(name)
  expect(sql.details).toMatchObject({ partition: 0, from: 0, to: FLUSHED })
  const tail = await again.query(`SELECT note FROM orders WHERE _offset >= ${FLUSHED}`)
  expect(await tail.toArray()).toEqual([{ note: 'after' }])

  const report = await again.tier.now()
  expect(report.failed).toMatchObject([{ log: 'orders', partition: 0, code: 'segment_corrupt' }])
  expect(report.failed[0]?.message).toContain(name)
  expect(again.status().logs[0]?.partitions[0]?.lastError).toContain(name)
})

test.each(['damaged', 'missing', 'cut short'])(
  'a segment file that is %s is read from the archive, once each record, and told of once',
  async (kind) => {
    const root = await temporaryDirectory()
    const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
    const db = await Stratalog.open(options)
    const log = await db.createLog('orders')
    // Many blocks, so that the first ones are given from the disk before the damage is met.
    for (let from = 0; from < 40_000; from += 4_000) {
      const ids = Array.from({ length: 4_000 }, (_, index) => from + index)
      await log.append(ids.map((id) => ({ id, note: `note ${id * 7919}` })))
    }
    await db.tier.now()
    await db.close()
    const directory = `${root}/data/segments/1/0`
    const [name = ''] = await readdir(directory)
    const bytes = await readFile(`${directory}/${name}`)
    if (kind === 'missing') await rm(`${directory}/${name}`)
    else if (kind === 'damaged') await flipBit(directory, Math.floor(bytes.length * 0.8))
    else await writeFile(`${directory}/${name}`, bytes.subarray(0, bytes.length / 2))

    const logger = new MemoryLogger()
    await using again = await Stratalog.open(options, { logger })
    const orders = again.log('orders')
    for (let round = 0; round < 2; round++) {
      const tiers = new Set<string>()
      const ids: unknown[] = []
      for await (const batch of orders.read()) {
        tiers.add(batch.tier)
        for (const row of batch.toRows()) ids.push(row['id'])
      }
      expect(ids).toEqual(Array.from({ length: 40_000 }, (_, id) => id))
      expect(tiers).toContain('object')
    }
    expect(await orders.get(39_000)).toMatchObject({ id: 39_000 })
    const told = logger.entries.filter(({ message }) => message.includes('the archive serves it'))
    expect(told).toMatchObject([{ level: 'warn', fields: { file: `segments/1/0/${name}` } }])

    // The sum is told once, of all records; the second query knows where not to look.
    for (const cacheMisses of [1, 0]) {
      const sql = `SELECT count(*) AS n, sum(length(note)) AS s FROM orders ${EVERY_COLUMN}`
      const result = await again.query(sql)
      expect(await result.toArray()).toEqual([{ n: 40_000, s: lettersOf(40_000) }])
      expect((await result.stats).recordsByTier).toEqual({ memory: 0, disk: 0, object: 40_000 })
      expect((await result.stats).cache.misses).toBe(cacheMisses)
    }

    // To an engine beside the writer a file that is missing is no damage: the writer may have dropped it rightly.
    const quiet = new MemoryLogger()
    await using beside = await Stratalog.openReadOnly(options, { logger: quiet })
    expect(await beside.log('orders').get(39_999)).toMatchObject({ id: 39_999 })
    const [sum] = await (await beside.query('SELECT max(id) AS id FROM orders')).toArray()
    expect(sum).toEqual({ id: 39_999 })
    expect(quiet.entries.length).toBe(kind === 'missing' ? 0 : 1)
  },
)

test('a segment that is damaged on disk and in the archive is an error that names the last copy', async () => {
  const root = await temporaryDirectory()
  const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  const db = await Stratalog.open(options)
  const log = await db.createLog('orders')
  await log.append(Array.from({ length: FLUSHED }, (_, id) => ({ id, note: `note ${id * 7919}` })))
  await db.tier.now()
  await db.close()
  await flipBit(`${root}/data/segments/1/0`, 3_000)
  const [object = ''] = (await readdir(`${root}/archive`, { recursive: true })).filter((name) =>
    name.endsWith('.arrow'),
  )
  const bytes = await readFile(`${root}/archive/${object}`)
  bytes[3_000] = (bytes[3_000] ?? 0) ^ 1
  await writeFile(`${root}/archive/${object}`, bytes)
  await using again = await Stratalog.openReadOnly(options)
  const error = await expectError(again.log('orders').read().toArray(), 'segment_corrupt')
  expect(error.details).toMatchObject({ tier: 'object', from: 0, to: FLUSHED })
})

test('a damaged manifest stops the opening and names its file', async () => {
  const root = await temporaryDirectory()
  const db = await Stratalog.open({ dataDir: `${root}/data` })
  await (await db.createLog('orders')).append({ id: 1 })
  await db.close()
  const name = await flipBit(`${root}/data/manifest`, 40)
  const error = await expectError(Stratalog.open({ dataDir: `${root}/data` }), 'manifest_corrupt')
  expect(error.message).toContain(name)
})

test.each([
  // Of a header: a payload would cost its log only.
  ['wal', 'wal_corrupt', (dataDir: string) => (walFrames(dataDir)[20]?.position ?? 0) + 24],
  ['manifest', 'manifest_corrupt', () => 40],
] as const)(
  'a damaged file of the %s is copied once into quarantine, and stays as it is',
  async (folder, code, place) => {
    const dataDir = `${await temporaryDirectory()}/data`
    const db = await Stratalog.open({ dataDir })
    const orders = await db.createLog('orders')
    for (let id = 0; id < 100; id++) await orders.append({ id, note: 'x'.repeat(100) })
    await db.close()
    const position = place(dataDir)
    const name = await flipBit(`${dataDir}/${folder}`, position)
    const damaged = await readFile(`${dataDir}/${folder}/${name}`)
    await expectError(Stratalog.openReadOnly({ dataDir }), code)
    expect(await readdir(dataDir)).not.toContain('quarantine')
    for (let round = 0; round < 2; round++) {
      const error = await expectError(Stratalog.open({ dataDir }), code)
      const copies = await readdir(`${dataDir}/quarantine`)
      expect(copies).toHaveLength(1)
      const copy = `${dataDir}/quarantine/${copies[0]}`
      expect(error.message).toContain(copy)
      expect(error.details['quarantined']).toBe(copy)
      expect(await readFile(copy)).toEqual(damaged)
      expect((await stat(copy)).mode & 0o777).toBe(0o600)
      expect(await readFile(`${dataDir}/${folder}/${name}`)).toEqual(damaged)
    }
    const { notes } = await verifyFiles({ dataDir })
    if (folder === 'wal') expect(notes.map(({ kind }) => kind)).toContain('quarantine')
    expect(notes.map(({ kind }) => kind)).not.toContain('foreign')
    // Other damage is another copy, if there is room for one.
    await flipBit(`${dataDir}/${folder}`, position + 1)
    const naming = vi.spyOn(NodeFileSystem.prototype, 'rename')
    naming.mockRejectedValue(new StratalogError('disk_full', 'no space left'))
    onTestFinished(() => naming.mockRestore())
    const error = await expectError(Stratalog.open({ dataDir }), code)
    expect(error.details['quarantined']).toBeUndefined()
    expect(await readdir(`${dataDir}/tmp`)).toEqual([])
    naming.mockRestore()
    await expectError(Stratalog.open({ dataDir }), code)
    expect(await readdir(`${dataDir}/quarantine`)).toHaveLength(2)
  },
)
