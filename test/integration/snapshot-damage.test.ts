/** Bytes that rot at a place of snapshots: what is sound comes back, and what is not is told by name. */
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { Stratalog, type StratalogOptions, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const MINUTE = 60_000

interface Place {
  readonly snapshotLocation: string
  readonly clock: VirtualClock
  readonly logger: MemoryLogger
}

async function place(): Promise<Place> {
  const snapshotLocation = `${await temporaryDirectory()}/snapshots`
  return { snapshotLocation, clock: new VirtualClock(), logger: new MemoryLogger() }
}

function open(
  { snapshotLocation, clock, logger }: Place,
  options: StratalogOptions = {},
): Promise<Stratalog> {
  return Stratalog.open({ snapshotLocation, ...options }, { clock, logger })
}

function rows(from: number, count: number): readonly { n: number }[] {
  return Array.from({ length: count }, (_, index) => ({ n: from + index }))
}

async function numbers(db: Stratalog, log = 'log'): Promise<readonly unknown[]> {
  return (await db.log(log).read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
}

async function segmentsIn({ snapshotLocation }: Place): Promise<readonly string[]> {
  const names = await readdir(snapshotLocation, { recursive: true })
  return names.filter((name) => name.endsWith('.arrow')).toSorted()
}

async function flipBit({ snapshotLocation }: Place, name = ''): Promise<void> {
  const path = `${snapshotLocation}/${name}`
  const bytes = await readFile(path)
  const at = Math.floor(bytes.length / 3)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes)
}

/** What the engine does by itself, done now. */
async function nextSnapshot(db: Stratalog, { clock }: Place): Promise<void> {
  const before = (await db.snapshots()).at(-1)?.id
  clock.advance(MINUTE)
  await expect.poll(async () => (await db.snapshots()).at(-1)?.id).not.toBe(before)
  // Armed for the next one when older ones have been looked at.
  await expect
    .poll(() => Date.parse(db.status().snapshots?.nextTime ?? ''))
    .toBeGreaterThan(clock.now())
}

/** Five snapshots, each with a segment of its own. */
async function five(at: Place): Promise<void> {
  await using db = await open(at)
  const log = await db.createLog('log', { schema: { n: 'int32' } })
  for (let count = 0; count < 5; count++) {
    await log.append(rows(count * 2, 2))
    await db.snapshot({ name: `s${count}` })
  }
}

test('a bit that every snapshot needs costs the records that it holds, and no others', async () => {
  const at = await place()
  await five(at)
  await flipBit(at, (await segmentsIn(at))[0])
  await using db = await open(at)
  expect(await numbers(db)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
  // Who does not ask to go on is told.
  const error = await expectError(db.log('log').read().toArray(), 'offset_gap')
  expect(error.details).toMatchObject({ from: 0, to: 2, cause: 'damaged' })
  const [partition] = db.status().logs[0]?.partitions ?? []
  expect(partition?.gaps).toEqual([{ from: 0, to: 2, reason: 'damaged' }])
  expect(partition?.damage).toMatchObject([
    { tier: 'object', kind: 'checksum', log: 'log', partition: 0, from: 0, to: 2, readable: false },
  ])
  expect(partition?.damage[0]?.where).toMatch(/segments\/.*\.arrow$/)
  expect(at.logger.entries.some(({ message }) => message.includes('are lost'))).toBe(true)
})

test('what no snapshot has whole is loaded around what is damaged or missing of it', async () => {
  const at = await place()
  await five(at)
  const [first, , third, , fifth] = await segmentsIn(at)
  await flipBit(at, first)
  await rm(`${at.snapshotLocation}/${third}`)
  await flipBit(at, fifth)
  {
    await using db = await open(at)
    expect(await numbers(db)).toEqual([2, 3, 6, 7])
    const gaps: unknown[] = []
    await db
      .log('log')
      .read({ onGap: ({ from, to, cause }) => gaps.push([from, to, cause]) })
      .toArray()
    expect(gaps).toEqual([0, 4, 8].map((from) => [from, from + 2, 'damaged']))
    expect((await db.log('log').append(rows(10, 1))).offset).toBe(10)
    // The next one lets go of what is damaged, and is whole.
    await db.snapshot({ name: 'whole' })
  }
  await using db = await open(at)
  expect(await numbers(db)).toEqual([2, 3, 6, 7, 10])
  expect(db.status().logs[0]?.partitions[0]?.damage).toEqual([])
})

test('all of a log being damaged is not an empty log', async () => {
  const at = await place()
  {
    await using db = await open(at)
    const log = await db.createLog('log', { schema: { n: 'int32' } })
    await log.append(rows(0, 3))
    await (await db.createLog('other', { schema: { n: 'int32' } })).append(rows(0, 3))
    await db.snapshot({ name: 'only' })
  }
  await flipBit(at, (await segmentsIn(at))[0])
  await using db = await open(at)
  await expectError(db.log('log').read().toArray(), 'offset_gap')
  expect((await db.log('log').append(rows(3, 1))).offset).toBe(3)
  expect(await numbers(db)).toEqual([3])
  expect(await numbers(db, 'other')).toEqual([0, 1, 2])
})

test('a flipped bit in what the newest snapshot added keeps the older ones, and is told', async () => {
  const at = await place()
  await using db = await open(at, { snapshotInterval: '1m', snapshotKeep: 2 })
  const log = await db.createLog('log', { schema: { n: 'int32' } })
  await log.append(rows(0, 3))
  await nextSnapshot(db, at)
  await log.append(rows(3, 3))
  await nextSnapshot(db, at)
  const kept = (await db.snapshots()).map(({ id }) => id)
  await flipBit(at, (await segmentsIn(at)).at(-1))
  await log.append(rows(6, 1))
  await nextSnapshot(db, at)
  const left = (await db.snapshots()).map(({ id }) => id)
  expect(left.slice(0, kept.length)).toEqual(kept)
  expect(db.status().snapshots?.lastError).toMatch(/cannot be restored: .*segments\//)
  // What is in RAM still makes the next one whole again, and then older ones go.
  await nextSnapshot(db, at)
  expect(db.status().snapshots?.lastError).toBeNull()
  expect(await db.snapshots()).toHaveLength(2)
  await db.close()
  await using again = await open(at)
  expect(await numbers(again)).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(await again.log('log').read().toArray()).toHaveLength(7)
})

test('with one snapshot kept, a bit that rots later costs the records that it holds', async () => {
  const at = await place()
  {
    await using db = await open(at, { snapshotInterval: '1m', snapshotKeep: 1 })
    const log = await db.createLog('log', { schema: { n: 'int32' } })
    for (let count = 0; count < 3; count++) {
      await log.append(rows(count * 3, 3))
      await nextSnapshot(db, at)
      if (count === 1) await flipBit(at, (await segmentsIn(at)).at(-1))
    }
    expect(await db.snapshots()).toHaveLength(1)
  }
  await using db = await open(at)
  expect(await numbers(db)).toEqual([0, 1, 2, 6, 7, 8])
})

test('what expired meanwhile is a gap that no reader fails for', async () => {
  const at = await place()
  {
    await using db = await open(at, { snapshotOnClose: true })
    const log = await db.createLog('log', { schema: { n: 'int32' } })
    await log.append(rows(0, 1))
    await log.append(rows(1, 1), { ttl: '1m' })
    await log.append(rows(2, 1))
  }
  at.clock.advance(2 * MINUTE)
  await using db = await open(at)
  expect(await db.log('log').read().toArray()).toHaveLength(2)
  expect(db.status().logs[0]?.partitions[0]?.gaps).toEqual([{ from: 1, to: 2, reason: 'expired' }])
})
