/** Opening, closing and what may stand in the way: other holders, other directories, damage, stores that are away. */
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { type Log, Stratalog, isStratalogError } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const AT_ONCE = { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 }

interface Place {
  readonly root: string
  readonly dataDir: string
  readonly archive: string
  readonly logLevel: 'silent'
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive`, logLevel: 'silent' }
}

function rows(count: number, from = 0): { n: number }[] {
  return Array.from({ length: count }, (_, index) => ({ n: from + index }))
}

async function count(log: Log): Promise<number> {
  const all = await log.read().toArray()
  expect(all.map((row) => row['n'])).toEqual(rows(all.length).map(({ n }) => n))
  return all.length
}

/** An engine that opened, wrote and closed. */
async function written(options: {
  readonly dataDir: string
  readonly archive?: string
}): Promise<void> {
  await using db = await Stratalog.open({ ...options, logLevel: 'silent' })
  const log = await db.createLog('orders')
  await log.append(rows(10))
  await db.tier.now()
  await log.append(rows(10, 10))
}

describe('opening', () => {
  test('again finds everything, after closing and after an end without closing', async () => {
    const { root, dataDir } = await place()
    await written({ dataDir })
    await using db = await Stratalog.open({ dataDir })
    const log = db.log('orders')
    await log.append(rows(5, 20))
    // What lies on disk now is what a kill would leave.
    await cp(dataDir, `${root}/killed`, { recursive: true })
    await using killed = await Stratalog.open({ dataDir: `${root}/killed` })
    expect([await count(log), await count(killed.log('orders'))]).toEqual([25, 25])
  })

  test('a directory in use names who holds it, and leaves the holder alone', async () => {
    const { dataDir } = await place()
    await using db = await Stratalog.open({ dataDir })
    const log = await db.createLog('orders')
    const error = await expectError(Stratalog.open({ dataDir }), 'directory_in_use')
    expect(error.message).toContain(`pid ${process.pid} on `)
    expect(error.details['holder']).toMatchObject({
      pid: process.pid,
      since: db.status().writer?.since,
    })
    await log.append(rows(3))
    expect(await count(log)).toBe(3)
  })

  test('a directory that is free again goes to the next, with nothing left of the one before', async () => {
    const { dataDir } = await place()
    for (let life = 0; life < 3; life++) {
      const db = await Stratalog.open({ dataDir })
      const log = life === 0 ? await db.createLog('orders') : db.log('orders')
      await log.append(rows(5, life * 5))
      expect(await count(log)).toBe(5 * (life + 1))
      await db.close()
    }
    expect(await readFile(`${dataDir}/lock`, 'utf8')).toBe('')
  })

  test('a foreign directory, a file, or an archive is refused and not touched', async () => {
    const { root, archive, dataDir } = await place()
    await written({ dataDir, archive })
    await mkdir(`${root}/home`)
    await writeFile(`${root}/home/letter.txt`, 'dear')
    await writeFile(`${root}/file`, '')
    for (const foreign of ['home', 'file', 'archive']) {
      await expectError(Stratalog.open({ dataDir: `${root}/${foreign}` }), 'directory_foreign')
    }
    expect(await readdir(`${root}/home`)).toEqual(['letter.txt'])
  })

  test('a directory of a newer version is refused by its identity, and not touched', async () => {
    const { dataDir } = await place()
    await written({ dataDir })
    const names = await readdir(dataDir)
    const [identity = ''] = names.filter((name) => name.endsWith('.json'))
    const text = await readFile(`${dataDir}/${identity}`, 'utf8')
    await writeFile(
      `${dataDir}/${identity}`,
      text.replace(/("[a-zA-Z]*[vV]ersion":)\s*\d+/, '$1 99'),
    )
    await expectError(Stratalog.open({ dataDir }), 'format_unsupported')
    await expectError(Stratalog.openReadOnly({ dataDir }), 'format_unsupported')
    expect(await readdir(dataDir)).toEqual(names)
  })

  test('a directory that a crash left while it was being made is made', async () => {
    const { root } = await place()
    for (const left of [['lock'], ['lock', 'stratalog.json~0.tmp']]) {
      const dataDir = `${root}/${left.length}`
      await mkdir(dataDir)
      for (const name of left) await writeFile(`${dataDir}/${name}`, '')
      await using db = await Stratalog.open({ dataDir })
      expect(db.logs()).toEqual([])
      expect((await readdir(dataDir)).filter((name) => name.endsWith('.tmp'))).toEqual([])
    }
  })

  test('removes what a crash left half done, and nothing else', async () => {
    const { dataDir } = await place()
    await written({ dataDir })
    const files = [
      'tmp/half',
      'segments/1/0/0000000000000099-0123456789abcdef.arrow',
      'manifest/x.edit~3.tmp',
    ]
    for (const file of files) await writeFile(`${dataDir}/${file}`, 'half')
    await using db = await Stratalog.open({ dataDir })
    for (const file of files) await expect(readFile(`${dataDir}/${file}`)).rejects.toThrow('ENOENT')
    expect(await count(db.log('orders'))).toBe(20)
  })

  test('damage in the WAL is named with its file, and taken for nothing else', async () => {
    const { dataDir } = await place()
    const db = await Stratalog.open({ dataDir })
    const log = await db.createLog('orders')
    for (let append = 0; append < 3; append++) await log.append(rows(100, append * 100))
    await db.close()
    const names = await readdir(`${dataDir}/wal`)
    for (const name of names) {
      const bytes = await readFile(`${dataDir}/wal/${name}`)
      bytes[300] = (bytes[300] ?? 0) ^ 1
      await writeFile(`${dataDir}/wal/${name}`, bytes)
    }
    const error = await expectError(Stratalog.open({ dataDir }), 'wal_corrupt')
    expect(names.some((name) => error.message.includes(name))).toBe(true)
    await expectError(Stratalog.openReadOnly({ dataDir }), 'wal_corrupt')
    // It is not mended in passing.
    await expectError(Stratalog.open({ dataDir }), 'wal_corrupt')
  })
})

describe('the archive', () => {
  test('of another engine is refused', async () => {
    const { root, archive, dataDir } = await place()
    await written({ dataDir, archive })
    const error = await expectError(
      Stratalog.open({ dataDir: `${root}/other`, archive }),
      'archive_foreign',
    )
    expect(error.details['archiveEngineId']).toMatch(/^[0-9a-f]+$/)
  })

  test('that is away when the engine opens costs lag only, and gets everything once it is back', async () => {
    const { root, dataDir, archive } = await place()
    const logger = new MemoryLogger()
    await writeFile(`${root}/archive`, 'not a directory')
    await using db = await Stratalog.open({ dataDir, archive }, { logger })
    await db.tier.pause()
    const log = await db.createLog('orders', { storage: AT_ONCE })
    await log.append(rows(10))
    const report = await db.tier.now()
    expect([
      report.moved.map(({ toTier }) => toTier),
      report.failed.length,
      report.pending,
    ]).toEqual([['disk'], 1, 1])
    expect(db.status().logs[0]?.partitions[0]?.lastError).not.toBeNull()
    expect(logger.entries.some(({ level }) => level === 'warn')).toBe(true)
    expect(await count(log)).toBe(10)
    await rm(`${root}/archive`)
    expect(await db.tier.now()).toMatchObject({ failed: [], pending: 0 })
    expect(db.status().logs[0]?.partitions[0]).toMatchObject({
      archivedOffset: 10,
      lastError: null,
    })
  })

  test('is read by itself, and what only it has by an engine too', async () => {
    const { dataDir, archive, root } = await place()
    await using db = await Stratalog.open({ dataDir, archive })
    await db.tier.pause()
    const log = await db.createLog('orders', { storage: AT_ONCE })
    await log.append(rows(10))
    await db.tier.now()
    await db.tier.run()
    await log.append(rows(10, 10))
    await using reader = await Stratalog.openArchive(archive)
    expect((await reader.log('orders').read().toArray()).length).toBe(10)
    expect(await reader.log('orders').get(3)).toMatchObject({ n: 3 })
    expect(await count(log)).toBe(20)
    await expectError(Stratalog.openArchive(`file://${root}/nothing`), 'archive_not_found')
  })
})

describe('reading beside a writer', () => {
  test('sees what was there, however the writer appends, flushes and drops meanwhile', async () => {
    const { root: _, ...options } = await place()
    await using db = await Stratalog.open(options)
    await db.tier.pause()
    const log = await db.createLog('orders', { storage: AT_ONCE })
    let acknowledged = 0
    let isOver = false
    const writing = (async () => {
      while (!isOver) {
        await log.append(rows(100, acknowledged))
        acknowledged += 100
        await db.tier.run()
      }
    })()
    for (let look = 0; look < 15; look++) {
      const before = acknowledged
      await using reader = await Stratalog.openReadOnly(options)
      expect(await count(reader.log('orders'))).toBeGreaterThanOrEqual(before)
    }
    isOver = true
    await writing
  })

  test('changes nothing and says so', async () => {
    const { dataDir, archive } = await place()
    await written({ dataDir, archive })
    await using reader = await Stratalog.openReadOnly({ dataDir, archive })
    const refused = [
      () => reader.createLog('more'),
      () => reader.log('orders').append({ n: 1 }),
      () => reader.tier.run(),
      () => reader.tier.now(),
      () => reader.snapshot(),
    ]
    for (const call of refused) await expectError(call(), 'argument_invalid')
    await using writer = await Stratalog.open({ dataDir, archive })
    await writer.log('orders').append({ n: 20 })
    expect(await count(reader.log('orders'))).toBe(20)
    await expectError(Stratalog.openReadOnly({ dataDir: `${dataDir}/none` }), 'file_not_found')
  })
})

describe('closing', () => {
  test('refuses every later call by name, and may be done again', async () => {
    const { dataDir } = await place()
    const db = await Stratalog.open({ dataDir })
    const log = await db.createLog('orders')
    await log.append(rows(3))
    await Promise.all([db.close(), db.close()])
    await db.close()
    const calls = [
      () => log.append({ n: 1 }),
      () => log.get(0),
      () => log.get(99),
      () => db.createLog('x'),
      () => db.tier.now(),
      () => db.tier.run(),
      () => db.snapshot(),
      () => db.query('SELECT 1'),
      async () => log.read(),
      async () => db.log('orders'),
      async () => db.logs(),
      async () => db.status(),
    ]
    for (const call of calls) await expectError((async () => call())(), 'engine_closed')
  })

  test('acknowledges or refuses every append that is under way, and keeps what it acknowledged', async () => {
    const { dataDir, archive } = await place()
    const db = await Stratalog.open({ dataDir, archive, logLevel: 'silent' })
    const log = await db.createLog('orders', { storage: AT_ONCE })
    const appends = rows(200).map((row) =>
      log.append(row, row.n % 50 === 7 ? { ack: 'object' } : {}),
    )
    const tiering = [db.tier.run(), db.tier.now()].map((move) =>
      move.catch((error: unknown) => error),
    )
    await new Promise((resolve) => setImmediate(resolve))
    const closed = db.close()
    const outcomes = await Promise.allSettled(appends)
    await closed
    await Promise.all(tiering)
    const refused = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason] : [],
    )
    for (const reason of refused) expect(reason).toMatchObject({ code: 'engine_closed' })
    const acknowledged = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value.offset] : [],
    )
    await using again = await Stratalog.open({ dataDir, archive })
    expect(await count(again.log('orders'))).toBeGreaterThanOrEqual(
      Math.max(0, ...acknowledged.map((offset) => offset + 1)),
    )
  })

  test('ends live readers and appends that wait for memory, and leaves nothing that runs', async () => {
    const db = await Stratalog.memoryOnly({ maxMemoryBytes: '1MB' })
    const quiet = await db.createLog('quiet')
    const live = expectError(quiet.read({ live: true }).toArray(), 'engine_closed')
    const log = await db.createLog('full')
    for (let append = 0; append < 60; append++)
      await log.append({ n: append, text: 'x'.repeat(20_000) })
    // A reader that stands still keeps its batches, and with them the room.
    const held = log.read()[Symbol.asyncIterator]()
    await held.next()
    const waiting = log.append({ n: 1, text: 'x'.repeat(900_000) }).then(
      () => 'applied',
      (error: unknown) => (isStratalogError(error) ? error.code : String(error)),
    )
    await new Promise((resolve) => setImmediate(resolve))
    expect(db.memoryMetrics().waitingAppends).toBe(1)
    await db.close()
    await held.return?.()
    expect(await waiting).toBe('engine_closed')
    await live
  })

  test('while records are read lets the reader finish what it pinned', async () => {
    const { dataDir } = await place()
    const db = await Stratalog.open({ dataDir })
    const log = await db.createLog('orders')
    for (let append = 0; append < 3; append++) await log.append(rows(70_000, append * 70_000))
    const seen: number[] = []
    let closing: Promise<void> | null = null
    for await (const batch of log.read()) {
      closing ??= db.close()
      await closing
      seen.push(
        ...batch
          .toRows()
          .map((row) => Number(row['n']))
          .slice(0, 3),
      )
    }
    expect(seen.slice(0, 3)).toEqual([0, 1, 2])
    expect(seen).toContain(140_000)
  })

  test('of one engine leaves another in the same process alone', async () => {
    const [first, second] = [await place(), await place()]
    const one = await Stratalog.open({ dataDir: first.dataDir })
    await using two = await Stratalog.open({ dataDir: second.dataDir })
    await using ram = await Stratalog.memoryOnly()
    const logs = await Promise.all([one, two, ram].map((db) => db.createLog('same-name')))
    await Promise.all(logs.map((log, index) => log.append(rows(10 + index))))
    await one.close()
    expect([await count(two.log('same-name')), await count(ram.log('same-name'))]).toEqual([11, 12])
    await two.log('same-name').append(rows(1, 11))
    expect(await count(two.log('same-name'))).toBe(12)
  })

  test('over and over leaks no descriptors', async () => {
    const { dataDir, archive } = await place()
    const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length
    await written({ dataDir, archive })
    const before = await descriptors()
    for (let life = 0; life < 5; life++) {
      await using db = await Stratalog.open({ dataDir, archive })
      for await (const batch of db.log('orders').read()) {
        expect(batch.length).toBeGreaterThan(0)
        break
      }
      await expectError(Stratalog.open({ dataDir }), 'directory_in_use')
    }
    expect(await descriptors()).toBeLessThanOrEqual(before + 1)
  })
})

test('a segment that is gone is named, and everything else is served', async () => {
  const { dataDir } = await place()
  await using db = await Stratalog.open({ dataDir })
  await db.tier.pause()
  const log = await db.createLog('orders', { storage: { memoryTtl: 0, diskAfter: 0 } })
  for (let append = 0; append < 3; append++) {
    await log.append(rows(10, append * 10))
    await db.tier.now()
    await db.tier.run()
  }
  const directory = `${dataDir}/segments/1/0`
  const [, middle = ''] = (await readdir(directory)).toSorted()
  await rename(`${directory}/${middle}`, `${directory}/elsewhere`)
  const error = await expectError(log.read().toArray(), 'file_not_found')
  expect(error.message).toContain(middle)
  expect((await log.read({ to: 10 }).toArray()).length).toBe(10)
  expect((await log.read({ from: 20 }).toArray()).length).toBe(10)
})
