/** Files that are gone, or are those of another time: what is missing is told or found elsewhere, never passed over. */
import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { Stratalog, restoreArchive, verifyFiles } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const PORTS = { logger: silentLogger }

interface Place {
  readonly root: string
  readonly dataDir: string
  readonly archive: string
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive` }
}

function rows(from: number, count: number, word = 'word'): { id: number; word: string }[] {
  return Array.from({ length: count }, (_, index) => ({ id: from + index, word }))
}

async function ids(db: Stratalog, name: string): Promise<unknown[]> {
  return (await db.log(name).read().toArray()).map((row) => row['id'])
}

/**
 * Removes commits from the newest back to the one that contains `text`, and that too; and what says how many there
 * were.
 */
async function loseBackTo(folder: string, text: string): Promise<void> {
  await loseMark(`${folder}/..`)
  const names = (await readdir(folder)).filter((name) => name.endsWith('.edit')).toSorted()
  for (const name of names.toReversed()) {
    const content = await readFile(`${folder}/${name}`, 'utf8')
    await rm(`${folder}/${name}`)
    if (content.includes(text)) return
  }
}

async function loseMark(directory: string): Promise<void> {
  for (const name of await readdir(directory))
    if (name.startsWith('newest.')) await rm(`${directory}/${name}`)
}

test('a manifest that has lost its newest commits is refused, not taken for that of an earlier time', async () => {
  const { root, dataDir } = await place()
  const db = await Stratalog.open({ dataDir })
  const kept = await db.createLog('kept')
  const deleted = await db.createLog('deleted')
  for (const log of [kept, deleted]) await log.append(rows(0, 5))
  await db.deleteLog('deleted')
  await db.createLog('late')
  await db.alterLog('kept', { storage: { retention: '10d' } })
  await db.close()
  await cp(dataDir, `${root}/whole`, { recursive: true })
  const names = (await readdir(`${dataDir}/manifest`)).filter((name) => name.endsWith('.edit'))
  for (const name of names.toSorted().toReversed()) {
    await rm(`${dataDir}/manifest/${name}`)
    for (const access of ['open', 'openReadOnly'] as const) {
      const error = await expectError(Stratalog[access]({ dataDir }), 'manifest_corrupt')
      expect(error.message).toContain(`there was commit ${names.length}`)
    }
    const { problems } = await verifyFiles({ dataDir })
    expect(problems[0]).toMatchObject({ where: `${dataDir}/manifest`, readable: false })
  }
  // Put back, all is there: nothing was claimed or written meanwhile.
  await cp(`${root}/whole`, dataDir, { recursive: true })
  await using again = await Stratalog.open({ dataDir })
  expect(again.logs().map(({ name }) => name)).toEqual(['kept', 'late'])
  expect(await ids(again, 'kept')).toHaveLength(5)
})

test('a directory opens as ever without the file that says how far its manifest has come', async () => {
  const { dataDir } = await place()
  for (let life = 0; life < 3; life++) {
    const db = await Stratalog.open({ dataDir })
    await db.createLog(`log-${life}`)
    await db.close()
    const marks = (await readdir(dataDir)).filter((name) => name.startsWith('newest.'))
    expect(marks).toHaveLength(1)
    if (life === 1) await loseMark(dataDir)
  }
  expect((await verifyFiles({ dataDir })).problems).toEqual([])
})

test('a WAL that was cut short after a clean close is damage, and no torn tail', async () => {
  const { dataDir } = await place()
  const db = await Stratalog.open({ dataDir })
  const log = await db.createLog('orders')
  for (let from = 0; from < 30; from += 10) await log.append(rows(from, 10))
  await db.close()
  const [name = ''] = await readdir(`${dataDir}/wal`)
  const bytes = await readFile(`${dataDir}/wal/${name}`)
  const seal = bytes.lastIndexOf('WALF')
  const last = bytes.lastIndexOf('WALF', seal - 1)
  await writeFile(`${dataDir}/wal/${name}`, bytes.subarray(0, last))
  for (const access of ['open', 'openReadOnly'] as const) {
    const error = await expectError(Stratalog[access]({ dataDir }), 'wal_corrupt')
    expect(error.details).toMatchObject({ damage: 'stale', position: last })
  }
  const { problems } = await verifyFiles({ dataDir })
  expect(problems).toMatchObject([{ kind: 'stale', position: last, readable: false }])
  // Put back, all is there: nothing was claimed or written meanwhile.
  await writeFile(`${dataDir}/wal/${name}`, bytes)
  await using again = await Stratalog.open({ dataDir })
  expect(await ids(again, 'orders')).toHaveLength(30)
})

test('a WAL that is gone is missed, also before the first checkpoint', async () => {
  const { dataDir } = await place()
  const db = await Stratalog.open({ dataDir })
  await (await db.createLog('orders')).append(rows(0, 5))
  await db.close()
  for (const name of await readdir(`${dataDir}/wal`)) await rm(`${dataDir}/wal/${name}`)
  await expectError(Stratalog.open({ dataDir }), 'wal_corrupt')
  await rm(`${dataDir}/wal`, { recursive: true })
  await expectError(Stratalog.openReadOnly({ dataDir }), 'wal_corrupt')
  expect((await verifyFiles({ dataDir })).problems).toMatchObject([{ kind: 'missing' }])
})

test('segments of a log without a WAL survive the loss of the commits that name them', async () => {
  const { dataDir } = await place()
  const db = await Stratalog.open({ dataDir })
  const loose = await db.createLog('loose', { storage: { wal: false } })
  for (let from = 0; from < 30; from += 10) {
    await loose.append(rows(from, 10))
    await db.tier.now({ to: 'disk' })
  }
  await db.close()
  const folder = `${dataDir}/manifest`
  await loseBackTo(folder, '"segment-added"')
  await loseBackTo(folder, '"segment-added"')
  expect((await verifyFiles({ dataDir }, PORTS)).problems).toMatchObject([
    { kind: 'stale' },
    { kind: 'stale' },
  ])
  const all = Array.from({ length: 30 }, (_, id) => id)
  const reading = await Stratalog.openReadOnly({ dataDir }, PORTS)
  expect(await ids(reading, 'loose')).toEqual(all)
  await reading.close()
  const writing = await Stratalog.open({ dataDir }, PORTS)
  expect(await writing.log('loose').append(rows(30, 1))).toMatchObject({ offset: 30 })
  await writing.tier.now({ to: 'disk' })
  await writing.close()
  expect((await verifyFiles({ dataDir })).problems).toEqual([])
  await using again = await Stratalog.open({ dataDir })
  expect(await ids(again, 'loose')).toEqual([...all, 30])
})

test('segments that no commit names say what producers had appended', async () => {
  const { dataDir } = await place()
  const db = await Stratalog.open({ dataDir })
  const loose = await db.createLog('loose', { storage: { wal: false } })
  const stamp = (sequence: number) => ({ producer: { producerId: 'a', epoch: 0, sequence } })
  for (let sequence = 0; sequence < 3; sequence++) {
    await loose.append(rows(sequence * 10, 10), stamp(sequence))
    await db.tier.now({ to: 'disk' })
  }
  await db.close()
  for (let lost = 0; lost < 2; lost++) await loseBackTo(`${dataDir}/manifest`, '"segment-added"')
  await using again = await Stratalog.open({ dataDir })
  const log = again.log('loose')
  expect(await log.append(rows(20, 10), stamp(2))).toMatchObject({ offset: 20, isDuplicate: true })
  expect(await log.append(rows(10, 10), stamp(1))).toMatchObject({ offset: 10, isDuplicate: true })
  expect(await log.append(rows(30, 1), stamp(3))).toEqual({ partition: 0, offset: 30, count: 1 })
})

test('a log whose creation the manifest has lost is missed, with records in the WAL or in segments', async () => {
  for (const storage of [{}, { wal: false }]) {
    const { dataDir } = await place()
    const db = await Stratalog.open({ dataDir })
    await (await db.createLog('first')).append(rows(0, 1))
    await (await db.createLog('orders', { storage })).append(rows(0, 10))
    await db.tier.now({ to: 'disk' })
    await db.close()
    await loseBackTo(`${dataDir}/manifest`, '"orders"')
    const opening = Stratalog.open({ dataDir })
    const error = await expectError(opening, 'manifest_corrupt')
    expect(error.message).toContain('bring manifest back')
  }
  const { dataDir } = await place()
  const db = await Stratalog.open({ dataDir })
  await (await db.createLog('orders')).append(rows(0, 10))
  await db.close()
  await loseBackTo(`${dataDir}/manifest`, '"orders"')
  await expectError(Stratalog.open({ dataDir }), 'wal_corrupt')
})

test('restore and replay say which objects the archive’s manifest has lost', async () => {
  const { root, dataDir, archive } = await place()
  const db = await Stratalog.open({ dataDir, archive })
  const log = await db.createLog('orders')
  await log.append(rows(0, 10))
  await db.tier.now()
  await log.append(rows(10, 10))
  await db.tier.now()
  await db.close()
  await loseBackTo(`${root}/archive/manifest`, '"baseOffset":10')
  const report = await restoreArchive({ archive, dataDir: `${root}/restored` })
  const lost = { log: 'orders', partition: 0, from: 10, to: 20 }
  expect(report).toMatchObject({ verified: false, records: 10, missing: [lost] })
  await using memory = await Stratalog.memoryOnly()
  expect(await memory.replayFromArchive(archive)).toMatchObject({ records: 10, missing: [lost] })
  // Another log's loss is no business of a restore that leaves it out; a snapshot names its offsets itself.
  await using other = await Stratalog.memoryOnly()
  expect(await other.replayFromArchive(archive, { logs: ['orders'] })).toMatchObject({
    missing: [lost],
  })
})

test('a segment of another life with the same offsets is never returned as data', async () => {
  const [here, there] = [await place(), await place()]
  for (const { dataDir, word } of [
    { dataDir: here.dataDir, word: 'right' },
    { dataDir: there.dataDir, word: 'wrong' },
  ]) {
    const db = await Stratalog.open({ dataDir })
    await (await db.createLog('orders')).append(rows(0, 10, word))
    await db.tier.now({ to: 'disk' })
    await db.close()
  }
  const folder = 'segments/1/0'
  const [own = ''] = await readdir(`${here.dataDir}/${folder}`)
  const [other = ''] = await readdir(`${there.dataDir}/${folder}`)
  await cp(`${there.dataDir}/${folder}/${other}`, `${here.dataDir}/${folder}/${own}`)
  await using db = await Stratalog.open({ dataDir: here.dataDir })
  const error = await expectError(db.log('orders').read().toArray(), 'segment_corrupt')
  expect(error.details).toMatchObject({ kind: 'swapped', from: 0, to: 10 })
})
