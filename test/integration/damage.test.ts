/** A damaged file is named, with what it costs, and everything else stays readable. */
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const FLUSHED = 2_000

async function flipBit(directory: string, position: number): Promise<string> {
  const [name = ''] = await readdir(directory)
  const bytes = await readFile(`${directory}/${name}`)
  bytes[position] = (bytes[position] ?? 0) ^ 1
  await writeFile(`${directory}/${name}`, bytes)
  return name
}

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
    .query('SELECT sum(length(note)) AS letters FROM orders')
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

test('a damaged manifest stops the opening and names its file', async () => {
  const root = await temporaryDirectory()
  const db = await Stratalog.open({ dataDir: `${root}/data` })
  await (await db.createLog('orders')).append({ id: 1 })
  await db.close()
  const name = await flipBit(`${root}/data/manifest`, 40)
  const error = await expectError(Stratalog.open({ dataDir: `${root}/data` }), 'manifest_corrupt')
  expect(error.message).toContain(name)
})
