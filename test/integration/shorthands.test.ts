/** `produce`, `produceWithTtl` and `consume`: one call each, on logs that are created when they are first used. */
import { describe, expect, test } from 'vitest'
import { Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

describe('produce', () => {
  test('creates the log on its first use, with the defaults of the engine', async () => {
    await using db = await Stratalog.open({
      dataDir: `${await temporaryDirectory()}/data`,
      defaults: { mode: 'persistent', memoryTtl: '90s' },
      logLevel: 'silent',
    })
    expect(await db.produce('Events', { n: 1 })).toEqual({ partition: 0, offset: 0, count: 1 })
    expect(await db.produce('events', [{ n: 2 }, { n: 3 }])).toMatchObject({ offset: 1, count: 2 })
    expect(db.logs().map(({ name }) => name)).toEqual(['events'])
    expect(db.log('events').describe().policy).toMatchObject({
      mode: 'persistent',
      memoryTtl: 90_000,
    })
  })

  test('first uses that meet create the log once and keep their order', async () => {
    await using db = await Stratalog.open({
      dataDir: `${await temporaryDirectory()}/data`,
      logLevel: 'silent',
    })
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, n) => db.produce('events', { n })),
    )
    expect(results.map(({ offset }) => offset)).toEqual([...Array(50).keys()])
    const rows = await db.consume('events', 0, 100)
    expect(rows.map(({ n }) => n)).toEqual([...Array(50).keys()])
    expect(db.logs()).toHaveLength(1)
  })

  test('waits for a log that is being created, and has what its creator asked for', async () => {
    await using db = await Stratalog.open({
      dataDir: `${await temporaryDirectory()}/data`,
      logLevel: 'silent',
    })
    const creation = db.createLog('events', { storage: { mode: 'memory' } })
    const produced = db.produce('events', { n: 1 })
    const second = expectError(db.createLog('events'), 'log_exists')
    expect((await creation).describe().policy.mode).toBe('memory')
    expect(await produced).toMatchObject({ offset: 0 })
    await second
  })

  test('goes its own way after a creation that failed', async () => {
    await using db = await Stratalog.memoryOnly()
    const failing = expectError(
      db.createLog('events', { storage: { mode: 'persistent' } }),
      'config_invalid',
    )
    expect(await db.produce('events', { n: 1 })).toMatchObject({ offset: 0 })
    await failing
  })

  test('refuses what a log refuses', async () => {
    const db = await Stratalog.memoryOnly()
    await expectError(db.produce('No Name', { n: 1 }), 'log_name_invalid')
    await db.produce('events', { n: 1 })
    await expectError(db.produce('events', { n: 'text' }), 'schema_mismatch')
    await db.close()
    await expectError(db.produce('events', { n: 1 }), 'engine_closed')
    await expectError(db.produceWithTtl('events', { n: 1 }, '1h'), 'engine_closed')
    await expectError(db.consume('events', 0, 1), 'engine_closed')
  })
})

describe('consume', () => {
  test('gives rows from an offset on, and goes on after the last', async () => {
    await using db = await Stratalog.memoryOnly()
    await db.produce('events', [{ n: 0 }, { n: 1 }, { n: 2 }])
    const first = await db.consume('events', 0, 2)
    expect(first.map(({ n, _offset }) => [n, _offset])).toEqual([
      [0, 0],
      [1, 1],
    ])
    const next = Number(first.at(-1)?.['_offset']) + 1
    expect(await db.consume('events', next, 2, { columns: ['n'] })).toEqual([{ n: 2 }])
    expect(await db.consume('events', 3, 2)).toEqual([])
  })

  test('creates nothing', async () => {
    await using db = await Stratalog.memoryOnly()
    await expectError(db.consume('events', 0, 1), 'log_not_found')
    expect(db.logs()).toEqual([])
  })

  test('needs the partition of a log of several', async () => {
    await using db = await Stratalog.memoryOnly()
    await (await db.createLog('events', { partitions: 2 })).append({ n: 1 }, { partition: 1 })
    await expectError(db.consume('events', 0, 1), 'argument_invalid')
    expect(await db.consume('events', 0, 1, { partition: 1, columns: ['n'] })).toEqual([{ n: 1 }])
    await expectError(db.consume('events', 0, -1, { partition: 1 }), 'argument_invalid')
  })
})

describe('produceWithTtl', () => {
  test('creates a log in RAM whose records are gone when their time is over', async () => {
    const clock = new VirtualClock(0)
    await using db = await Stratalog.open(
      { dataDir: `${await temporaryDirectory()}/data`, logLevel: 'silent' },
      { clock },
    )
    await db.produceWithTtl('sessions', { n: 1 }, '1h')
    await db.produceWithTtl('sessions', [{ n: 2 }, { n: 3 }], 5_000)
    expect(db.log('sessions').describe().policy.mode).toBe('memory')
    clock.advance(5_000)
    expect(await db.consume('sessions', 0, 10, { columns: ['n'] })).toEqual([{ n: 1 }])
    clock.advance(3_595_000)
    expect(await db.consume('sessions', 0, 10)).toEqual([])
  })

  test('is refused on a log of another mode, and leaves no log behind a bad duration', async () => {
    await using db = await Stratalog.open({
      dataDir: `${await temporaryDirectory()}/data`,
      logLevel: 'silent',
    })
    await db.produce('orders', { n: 1 })
    const error = await expectError(db.produceWithTtl('orders', { n: 2 }, '1h'), 'argument_invalid')
    expect(error.message).toContain(`Log 'orders' has mode 'hybrid'`)
    expect(error.message).toContain('memoryTtl')
    await expectError(db.produceWithTtl('sessions', { n: 1 }, 'soon'), 'argument_invalid')
    expect(db.logs().map(({ name }) => name)).toEqual(['orders'])
  })
})
