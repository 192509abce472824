/** What the memory tier does with arguments that types would have stopped, and with calls that come too late. */
import { describe, expect, test } from 'vitest'
import {
  type AppendOptions,
  type ErrorCode,
  type Log,
  type ReadOptions,
  type StorageOptions,
  Stratalog,
  type StratalogOptions,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

/** What JavaScript may pass whatever the types say. */
function append(log: Log, options: unknown): Promise<unknown> {
  return log.append({ n: 1 }, options as AppendOptions)
}

describe('arguments', () => {
  test('that an append does not take are refused by name', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('log')
    const wrong: readonly (readonly [unknown, ErrorCode, RegExp])[] = [
      ...['0s', 0].map((ttl) => [{ ttl }, 'argument_invalid', /ttl is longer than 0/] as const),
      ...[-1, '-1s', NaN, 'abc', Infinity, '', null, 1.5].map(
        (ttl) => [{ ttl }, 'argument_invalid', /^ttl: .* is not a duration; give ms/] as const,
      ),
      [{ ttl: NaN }, 'argument_invalid', /^ttl: NaN /],
      ...[1.5, 1e9, '5', NaN, null, 5n].map(
        (priority) =>
          [{ priority }, 'argument_invalid', /^priority is a whole number from -1000/] as const,
      ),
      [{ tll: '1h' }, 'argument_invalid', /no option "tll" of append; the options are .*ttl/],
      [{ signal: 'soon' }, 'argument_invalid', /signal is an AbortSignal/],
      [{ adopt: 'yes' }, 'argument_invalid', /adopt is true or false/],
      [{ partition: 1 }, 'partition_not_found', /there is no partition 1/],
      [{ ack: 'disk' }, 'argument_invalid', /it has no WAL/],
      [null, 'argument_invalid', /are an object; got null/],
      [{ signal: AbortSignal.abort() }, 'aborted', /aborted/],
    ]
    for (const [options, code, message] of wrong) {
      const error = await expectError(append(log, options), code)
      expect(error.message).toMatch(message)
    }
    expect(await log.read().toArray()).toEqual([])
  })

  test('that a read does not take are refused by name', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('log')
    await log.append({ n: 1 })
    const wrong: readonly [unknown, RegExp][] = [
      [{ form: 1 }, /no option "form" of read; the options are .*from/],
      [{ columns: 'n' }, /columns is an array/],
      [{ columns: ['m'] }, /no column "m"; it has n and _offset/],
      [{ onGap: 'ignore' }, /onGap is 'fail', 'skip' or a function/],
      [{ signal: {} }, /signal is an AbortSignal/],
      [{ since: 'yesterday' }, /since: .* is not a time/],
      [{ limit: -1 }, /limit is a whole number/],
      [null, /are an object; got null/],
    ]
    for (const [options, message] of wrong) {
      const reading = (async () => log.read(options as ReadOptions).toArray())()
      expect((await expectError(reading, 'argument_invalid')).message).toMatch(message)
    }
    for (const offset of [1.5, NaN, '0', 0n]) {
      const error = await expectError(log.get(offset as number), 'argument_invalid')
      expect(error.message).toMatch(/^offset is a whole number/)
    }
    expect([await log.get(-1), await log.get(1)]).toEqual([null, null])
  })

  test('of a configuration are told as they were given', async () => {
    await using db = await Stratalog.memoryOnly()
    const engine: readonly [unknown, RegExp][] = [
      [{ maxMemoryBytes: NaN }, /maxMemoryBytes: .*; got NaN/],
      [{ maxMemoryBytes: 1n }, /maxMemoryBytes: .*; got 1/],
      [{ dataDir: './data' }, /dataDir: expected nothing.*Stratalog\.open/],
    ]
    for (const [options, message] of engine) {
      const opening = Stratalog.memoryOnly(options as StratalogOptions)
      expect((await expectError(opening, 'config_invalid')).message).toMatch(message)
    }
    const storage: readonly (readonly [unknown, RegExp])[] = [
      ...['0s', -1, 'abc', Infinity].map(
        (ttl) => [{ ttl }, /storage\.ttl: expected a duration/] as const,
      ),
      ...[1.5, '5', 1e9].map(
        (priority) => [{ priority }, /storage\.priority: expected a whole/] as const,
      ),
      [{ evictionPolicy: 'LRU' }, /'fifo', 'lru', 'ttl', 'priority', 'reject'; got "LRU"/],
      [{ maxMemoryBytes: 0 }, /storage\.maxMemoryBytes: expected a size above 0/],
      ...(['memoryTtl', 'diskAfter', 'archiveAfter', 'diskTtl'] as const).map(
        (key) =>
          [{ [key]: '1h' }, new RegExp(`${key}: expected nothing in mode 'memory'`)] as const,
      ),
      [{ localDisk: false }, /localDisk: expected nothing in mode 'memory'/],
    ]
    for (const [given, message] of storage) {
      const creating = db.createLog('never', { storage: given as StorageOptions })
      expect((await expectError(creating, 'config_invalid')).message).toMatch(message)
    }
  })

  test('come too late when the engine is closed', async () => {
    const closed = await Stratalog.memoryOnly()
    const log = await closed.createLog('log')
    await log.append({ n: 1 })
    const reading = log.read({ live: true })[Symbol.asyncIterator]()
    await reading.next()
    const waiting = expectError(reading.next(), 'engine_closed')
    await closed.close()
    await waiting
    const calls: readonly (() => unknown)[] = [
      () => log.append({ n: 2 }),
      () => log.read().toArray(),
      () => log.get(0),
      () => log.getHot(0),
      () => closed.memoryMetrics(),
      () => closed.produce('log', { n: 1 }),
      () => closed.consume('log', 0, 1),
      () => closed.dump()[Symbol.asyncIterator]().next(),
    ]
    for (const call of calls) await expectError((async () => call())(), 'engine_closed')
  })
})
