/** Appends that say where they are to begin: applied there or not at all, whoever appends meanwhile. */
import { describe, expect, test } from 'vitest'
import { type Log, Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

async function values(log: Log): Promise<unknown[]> {
  return (await log.read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
}

describe('an append with an expected offset', () => {
  test('is applied at that offset, and nowhere else', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('events')
    expect(await log.append({ n: 0 }, { expectedOffset: 0 })).toMatchObject({ offset: 0 })
    expect(await log.append([{ n: 1 }, { n: 2 }], { expectedOffset: 1 })).toMatchObject({
      offset: 1,
      count: 2,
    })
    for (const expectedOffset of [0, 2, 4]) {
      const error = await expectError(log.append({ n: 9 }, { expectedOffset }), 'offset_unexpected')
      expect(error.kind).toBe('conflict')
      expect(error.details).toEqual({
        log: 'events',
        partition: 0,
        expected: expectedOffset,
        actual: 3,
      })
    }
    expect(await values(log)).toEqual([0, 1, 2])
  })

  test('that is refused brings no column', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('events')
    await log.append({ n: 0 })
    await expectError(log.append({ n: 1, more: 'x' }, { expectedOffset: 0 }), 'offset_unexpected')
    expect(log.describe().schema.map(({ name }) => name)).not.toContain('more')
  })

  test.each([-1, 0.5, 2 ** 53, '0', null])('of %j is refused', async (expectedOffset) => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('events')
    const options = { expectedOffset } as unknown as Parameters<Log['append']>[1]
    await expectError(log.append({ n: 0 }, options), 'argument_invalid')
    expect(await values(log)).toEqual([])
  })

  test('is of one partition, which is named or has the key', async () => {
    await using db = await Stratalog.memoryOnly()
    const plain = await db.createLog('plain', { partitions: 4 })
    await expectError(plain.append({ n: 0 }, { expectedOffset: 0 }), 'argument_invalid')
    await plain.append({ n: 0 }, { partition: 2, expectedOffset: 0 })
    await plain.append({ n: 1 }, { partition: 3, expectedOffset: 0 })
    await expectError(
      plain.append({ n: 2 }, { partition: 2, expectedOffset: 0 }),
      'offset_unexpected',
    )
    const keyed = await db.createLog('keyed', { partitions: 4, keyColumn: 'key' })
    const partition = keyed.partitionOf('a')
    expect(await keyed.append({ key: 'a' }, { expectedOffset: 0 })).toMatchObject({ partition })
    await expectError(keyed.append({ key: 'a' }, { expectedOffset: 0 }), 'offset_unexpected')
  })

  test('lets one of many who saw the same end win, and loses none', async () => {
    const directory = await temporaryDirectory()
    await using db = await Stratalog.open({ dataDir: directory })
    const log = await db.createLog('counter')
    let refusals = 0
    const increment = async (who: number): Promise<void> => {
      for (;;) {
        const { end } = log.range()
        const before = end === 0 ? null : await log.get(end - 1)
        const n = Number(before?.['n'] ?? 0) + 1
        try {
          await log.append({ n, who }, { expectedOffset: end })
          return
        } catch (error) {
          expect(error).toMatchObject({ code: 'offset_unexpected' })
          refusals++
          // What took the offset may be on its way to the disk, and cannot be read before it is there.
          await log.arrival(end, AbortSignal.timeout(60_000))
        }
      }
    }
    await Promise.all(Array.from({ length: 16 }, (_, who) => increment(who)))
    expect(refusals).toBeGreaterThan(0)
    expect(await values(log)).toEqual(Array.from({ length: 16 }, (_, index) => index + 1))
  })

  test('with a producer is applied once, and its retry is a duplicate', async () => {
    const directory = await temporaryDirectory()
    const options = {
      expectedOffset: 0,
      producer: { producerId: 'till', epoch: 0, sequence: 0 },
    }
    {
      await using db = await Stratalog.open({ dataDir: directory })
      const log = await db.createLog('events')
      await log.append({ n: 0 }, options)
      expect(await log.append({ n: 0 }, options)).toMatchObject({ offset: 0, isDuplicate: true })
    }
    await using db = await Stratalog.open({ dataDir: directory })
    const log = db.log('events')
    expect(await log.append({ n: 0 }, options)).toMatchObject({ offset: 0, isDuplicate: true })
    const next = { ...options, producer: { ...options.producer, sequence: 1 } }
    await expectError(log.append({ n: 1 }, next), 'offset_unexpected')
    // The number was not used, so that the append can come again where it belongs.
    expect(await log.append({ n: 1 }, { ...next, expectedOffset: 1 })).toMatchObject({ offset: 1 })
    expect(await values(log)).toEqual([0, 1])
  })
})
