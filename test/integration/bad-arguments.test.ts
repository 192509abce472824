/**
 * Arguments that types would have stopped, of every call that is no append or read (`memory-bad-arguments.test.ts`):
 * each is refused by name, with nothing done. A misspelt option is never one that was left out.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as stratalog from '../../src/index.ts'
import {
  type ErrorCode,
  type Log,
  Stratalog,
  drillArchive,
  exportRecords,
  isStratalogError,
  planRestoreArchive,
  restoreArchive,
  scrubFiles,
  verifyFiles,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

let root: string
let archive: string
let db: Stratalog
let log: Log

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
  archive = `file://${root}/archive`
  db = await Stratalog.open({ dataDir: `${root}/data`, archive })
  log = await db.createLog('orders', { schema: { n: 'int32', id: 'utf8' }, keyColumn: 'id' })
  await log.append([1, 2, 3].map((n) => ({ n, id: `${n}` })))
  await (await db.createLog('users', { schema: { n: 'int32' } })).append({ n: 1 })
  await db.tier.now({ to: 'object' })
})
afterAll(async () => {
  await db.close()
  rmSync(root, { recursive: true, force: true })
})

type Call = (given: never) => unknown
type Case = readonly [given: unknown, message: RegExp, code?: ErrorCode]

/** What every call with options refuses. */
function anyOptions(call: string, typo: string, meant: string): readonly Case[] {
  return [
    [null, new RegExp(`The options of ${call} are an object; got null`)],
    ['all', new RegExp(`The options of ${call} are an object; got "all"`)],
    [
      { [typo]: 1 },
      new RegExp(`no option "${typo}" of ${call}; the options are .*Did you mean ${meant}\\?`),
    ],
  ]
}

/** Every case that is wrong, at once. */
async function expectRefused(call: Call, cases: readonly Case[]): Promise<void> {
  const wrong: unknown[] = []
  for (const [given, message, code = 'argument_invalid'] of cases) {
    const error: unknown = await (async () => call(given as never))().then(
      (value) => value,
      (thrown: unknown) => thrown,
    )
    const isAsExpected = isStratalogError(error) && error.code === code
    if (!isAsExpected || !message.test(error.message)) wrong.push([given, String(error), message])
  }
  expect(wrong).toEqual([])
}

describe('of a running engine are refused by name:', () => {
  test('fork', async () => {
    const call: Call = (options) => db.fork('orders', 'copy', options)
    await expectRefused(call, [
      ...anyOptions('fork', 'atOfset', 'atOffset'),
      [{ at: 'yesterday' }, /^at: "yesterday" is not a time/],
      [{ snapshot: 5 }, /snapshot of fork is text; got 5/],
      [{ atOffset: '1' }, /offsets 0 to 3; 1 is none/],
      [{ atOffset: null }, /offsets 0 to 3; null is none/],
      [{ atOffset: 4 }, /offsets 0 to 3; 4 is none/],
    ])
    await expectRefused(
      (as) => db.fork('orders', as),
      [[undefined, /A value of type undefined is not a log name/, 'log_name_invalid']],
    )
    expect(db.logs().map(({ name }) => name)).toEqual(['orders', 'users'])
  })

  test('snapshot', async () => {
    await expectRefused(
      (options) => db.snapshot(options),
      [
        ...anyOptions('snapshot', 'nam', 'name'),
        [{ name: 5 }, /name of snapshot is text; got 5/],
        [{ name: null }, /name of snapshot is text; got null/],
        [{ logs: 'orders' }, /logs of snapshot is an array of one or more names; got "orders"/],
        [{ logs: [] }, /got an empty array/],
      ],
    )
    await expectRefused(
      (name) => db.deleteSnapshot(name),
      [[undefined, /no snapshot/, 'snapshot_not_found']],
    )
    expect(await db.snapshots()).toEqual([])
  })

  test('createLog, alterLog, deleteLog, log', async () => {
    await expectRefused(
      (options) => db.createLog('new', options),
      [
        [null, /The options of createLog are an object; got null/],
        [{ keycolumn: 'n' }, /no such key; the keys are/, 'config_invalid'],
        [{ schema: { n: 5 } }, /./, 'schema_invalid'],
        [{ schema: [null] }, /columns by name/, 'config_invalid'],
        [{ schema: null }, /columns by name/, 'config_invalid'],
        [{ storage: null }, /./, 'config_invalid'],
      ],
    )
    await expectRefused(
      (options) => db.alterLog('orders', options),
      [
        [null, /an object/, 'config_invalid'],
        [undefined, /an object/, 'config_invalid'],
        [{ store: {} }, /no such key/, 'config_invalid'],
      ],
    )
    const isNoName: Case = [undefined, /not a log name/, 'log_name_invalid']
    for (const call of [
      (name: string) => db.deleteLog(name),
      (name: string) => db.log(name),
      (name: string) => db.createLog(name),
      (name: string) => db.alterLog(name, { storage: {} }),
      (name: string) => db.produce(name, { n: 1 }),
      (name: string) => db.consume(name, 0, 1),
      (name: string) => db.tier.attach(name),
      (name: string) => db.tier.detach(name),
    ])
      await expectRefused(call, [isNoName, [5, /not a log name/, 'log_name_invalid']])
    expect(db.logs().map(({ name }) => name)).toEqual(['orders', 'users'])
  })

  test('consume', async () => {
    await expectRefused(
      (limit) => db.consume('orders', 0, limit),
      [
        [undefined, /limit is a whole number from 0 on; got nothing/],
        ['5', /limit is a whole number/],
      ],
    )
    await expectRefused(
      (from) => db.consume('orders', from, 5),
      [[undefined, /from is a whole number/]],
    )
    await expectRefused(
      (options) => db.consume('orders', 0, 5, options),
      [
        [null, /The options of consume/],
        [{ partitions: 1 }, /no option "partitions" of read/],
      ],
    )
  })

  test('query and streamSql', async () => {
    await expectRefused(
      (options) => db.query('SELECT 1', [], options),
      [
        ...anyOptions('query', 'maxrows', 'maxRows'),
        [{ signal: 5 }, /signal of query is an AbortSignal; got 5/],
      ],
    )
    await expectRefused((sql) => db.query(sql), [[undefined, /statement of a query is text/]])
    await expectRefused(
      (parameters) => db.query('SELECT 1', parameters),
      [
        [null, /parameters of a query are an array, or an object by name; got null/],
        ['x', /parameters of a query/],
      ],
    )
    const sql = 'SELECT count(*) FROM orders GROUP BY TUMBLE(_time, INTERVAL 1 MINUTE)'
    await expectRefused(
      (options) => db.streamSql(sql, options)[Symbol.asyncIterator]().next(),
      [
        ...anyOptions('streamSql', 'latness', 'lateness'),
        [{ signal: 5 }, /signal is an AbortSignal/],
      ],
    )
  })

  test('dump, and exportRecords', async () => {
    const dump: Call = (options) => db.dump(options)[Symbol.asyncIterator]().next()
    await expectRefused(dump, [
      ...anyOptions('dump', 'log', 'logs'),
      [{ logs: 'orders' }, /logs of dump is an array of names; got "orders"/],
      [{ signal: 5 }, /signal of dump is an AbortSignal/],
    ])
    await expectRefused(
      (options) => exportRecords(log, options).next(),
      [
        [null, /The options of exportRecords are an object/],
        [{}, /format is one of/],
        [{ format: 'csv', onProgress: 1 }, /onProgress is a function/],
        [{ format: 'csv', untl: 1 }, /no option "untl" of read.*Did you mean until\?/],
      ],
    )
  })

  test('tier control', async () => {
    await expectRefused(
      (options) => db.tier.now(options),
      [
        ...anyOptions('tier.now', 'log', 'logs'),
        [{ to: 'memory' }, /to of tier.now is 'disk' or 'object'; got "memory"/],
        [{ logs: 'orders' }, /logs of tier.now is an array of names/],
      ],
    )
    await expectRefused(
      (options) => db.tier.collect(options),
      [
        ...anyOptions('tier.collect', 'dryrun', 'dryRun'),
        [{ dryRun: 'yes' }, /dryRun of tier.collect is true or false/],
        [{ grace: 'soon' }, /grace: .* is not a duration/],
      ],
    )
    await expectRefused(
      (options) => db.tier.scrub(options),
      [
        ...anyOptions('tier.scrub', 'repare', 'repair'),
        [{ repair: 0 }, /repair of tier.scrub is true or false/],
      ],
    )
    await expectRefused(
      (options) => db.tier.compact(options),
      anyOptions('tier.compact', 'log', 'logs'),
    )
    await expectRefused(
      (options) => db.tier.pause(options),
      anyOptions('tier.pause', 'log', 'logs'),
    )
    await expectRefused(
      (options) => db.tier.resume(options),
      anyOptions('tier.resume', 'log', 'logs'),
    )
  })

  test('a log', async () => {
    await expectRefused(
      (options) => log.get(0, options),
      [...anyOptions('get', 'column', 'columns'), [{ columns: 'n' }, /columns is an array/]],
    )
    const partition = 'partition'
    await expectRefused(
      (options) => log.range(options),
      anyOptions('range', 'partitions', partition),
    )
    await expectRefused(
      (options) => log.producer('p', options),
      anyOptions('producer', 'part', partition).slice(0, 2),
    )
    await expectRefused(
      (options) => log.getHot(0, undefined, options),
      anyOptions('getHot', 'partitio', partition),
    )
    const { signal } = new AbortController()
    await expectRefused(
      (options) => log.arrival(0, signal, options),
      anyOptions('arrival', 'partitio', partition),
    )
    await expectRefused(
      (given) => log.arrival(99, given),
      [[undefined, /signal is an AbortSignal/]],
    )
    await expectRefused(
      (options) => log.latest(options).toArray(),
      anyOptions('latest', 'limt', 'limit'),
    )
    await expectRefused((options) => log.latestHash(options), anyOptions('latest', 'asof', 'asOf'))
    await expectRefused(
      (options) => log.getLatest('1', options),
      anyOptions('latest', 'column', 'columns'),
    )
  })
})

describe('of what is done with archives are refused by name:', () => {
  test('replayFromArchive', async () => {
    const target = await Stratalog.memoryOnly()
    await expectRefused(
      (options) => target.replayFromArchive(archive, options),
      [
        ...anyOptions('replayFromArchive', 'util', 'until'),
        [
          { logs: 'orders' },
          /logs of replayFromArchive is an array of one or more names; got "orders"/,
        ],
        [{ logs: [] }, /got an empty array/],
        [{ filter: 'x' }, /filter of replayFromArchive is a function; got "x"/],
        [{ onProgress: 1 }, /onProgress of replayFromArchive is a function; got 1/],
        [{ signal: 5 }, /signal of replayFromArchive is an AbortSignal/],
        [{ speed: null }, /speed of replayFromArchive is 'max'/],
        [{ speed: 0 }, /speed: 0 is not/],
        [{ speed: 'stepped', step: 5 }, /step of replayFromArchive is a function/],
        [
          { speed: 'stepped', step: async () => {}, stepRecords: '3' },
          /stepRecords is a whole number/,
        ],
        [
          { into: null },
          /into of replayFromArchive is a function, or an endpoint such as \{ url \}; got null/,
        ],
        [{ into: 5 }, /into of replayFromArchive is a function/],
        [{ into: {} }, /url of into is text; got nothing/],
        [
          { into: { url: 'http://x', host: ['x'] } },
          /no option "host" of into.*Did you mean hosts\?/,
        ],
        [{ s3: 5 }, /s3 of replayFromArchive is an object/],
        [{ s3: { endpont: 'x' } }, /no option "endpont" of s3.*Did you mean endpoint\?/],
        [{ s3: { credentials: { accessKey: 'x' } } }, /no option "accessKey" of s3.credentials/],
        ...[{}, { logs: 5 }, { logs: [null] }, { logs: [{ name: 'a', partitions: [{}] }] }].map(
          (resumePoint) => [{ resumePoint }, /^resumePoint is none of a replay/] as const,
        ),
        [{ resumePoint: null }, /resumePoint of replayFromArchive is an object; got null/],
        [{ since: 'soon' }, /since: "soon" is not a time/],
      ],
    )
    await expectRefused(
      (url) => target.replayFromArchive(url),
      [[undefined, /URL of an archive is text; got nothing/]],
    )
    expect(target.logs()).toEqual([])
    await target.close()
    await expectError(target.replayFromArchive(archive, null as never), 'engine_closed')
  })

  test('restoreArchive and planRestoreArchive', async () => {
    const dataDir = `${root}/restored`
    const cases: readonly Case[] = [
      [{ logs: 'orders' }, /logs of \w+ is an array of one or more names; got "orders"/],
      [{ logs: [] }, /got an empty array/],
      [
        { toOffsets: {} },
        /toOffsets of \w+ is an array of \{ log, partition, offset \}; got an object/,
      ],
      [{ toOffsets: [] }, /got an empty array/],
      [{ toOffsets: [5] }, /options of toOffsets are an object; got 5/],
      [{ toOffsets: [{ log: 'orders', partition: 0, offst: 1 }] }, /Did you mean offset\?/],
      ...[-4, NaN, '2', undefined, 1.5].map(
        (offset) =>
          [
            { toOffsets: [{ log: 'orders', partition: 0, offset }] },
            /offset of toOffsets is a whole number/,
          ] as const,
      ),
      [
        { toOffsets: [1, 2].map((offset) => ({ log: 'orders', partition: 0, offset })) },
        /toOffsets names partition 0 of log 'orders' twice/,
      ],
      [
        { toOffsets: [{ log: 'orders', partition: 0, offset: 4 }] },
        /Log 'orders' has offsets 0 to 3 in partition 0; 4 is none/,
      ],
      [
        { toOffsets: [{ log: 'orders', partition: 7, offset: 4 }] },
        /no partition 7/,
        'partition_not_found',
      ],
      [
        { logs: ['users'], toOffsets: [{ log: 'orders', partition: 0, offset: 1 }] },
        /toOffsets: no log 'orders' is restored/,
        'log_not_found',
      ],
      [{ at: 'soon' }, /at: "soon" is not a time/],
      [{ snapshot: 5 }, /snapshot of \w+ is text/],
      [{ rename: { orders: 5 } }, /rename of \w+ is an object of texts/],
      [{ eager: 'yes' }, /eager of \w+ is true or false/],
      [{ archive: undefined }, /URL of an archive is text/],
    ]
    const withPlace =
      (call: (options: never) => unknown, place: object): Call =>
      (options: object) =>
        call({ archive, ...place, ...options } as never)
    await expectRefused(withPlace(restoreArchive, { dataDir }), [
      ...cases,
      [{ util: 5 }, /no option "util" of restoreArchive; the options are /],
      [{ until: 5 }, /no option "until" of restoreArchive; the options are .*at/],
      [{ confirm: true }, /confirm of restoreArchive is a function/],
      [{ dataDir: undefined }, /Name the directory/],
      [{ dataDir: 5 }, /dataDir of restoreArchive is text/],
    ])
    await expectRefused(withPlace(planRestoreArchive, {}), cases)
    await expectRefused(restoreArchive, anyOptions('restoreArchive', 'datadir', 'dataDir'))
    await expectRefused(planRestoreArchive, anyOptions('planRestoreArchive', 'log', 'logs'))
    expect(readdirSync(root).toSorted()).toEqual(['archive', 'data'])
  })

  test('drillArchive, verifyFiles and scrubFiles', async () => {
    await expectRefused(drillArchive, anyOptions('drillArchive', 'sampl', 'sample'))
    await expectRefused(
      (options: object) => drillArchive({ archive, ...options }),
      [
        [{ against: null }, /against of drillArchive is a data directory, or a live engine/],
        [{ checks: 'x' }, /checks of drillArchive is an array/],
        [{ checks: [{ sql: 'SELECT 1', expect: [[1]] }] }, /no option "expect" of a check/],
        [{ checks: [{ sql: 'SELECT 1' }] }, /A check has expected rows/],
        [{ checks: [{ expected: [[1]] }] }, /sql of a check is text/],
        [{ queryIsolation: 'none' }, /queryIsolation of drillArchive is 'thread' or 'process'/],
        [{ sample: '1' }, /A sample is a part above 0 and at most 1/],
        [{ onProgress: 1 }, /onProgress of drillArchive is a function/],
      ],
    )
    for (const [name, call] of Object.entries({ verifyFiles, scrubFiles }))
      await expectRefused(call, [
        ...anyOptions(name, 'datadir', 'dataDir'),
        [{ dataDir: 5 }, new RegExp(`dataDir of ${name} is text; got 5`)],
      ])
  })

  test('an archive that is opened', async () => {
    await expectRefused(
      (options) => Stratalog.openArchive(archive, options),
      anyOptions('openArchive', 's', 's3'),
    )
    await expectRefused(
      (url) => Stratalog.openArchive(url),
      [[undefined, /URL of an archive is text/]],
    )
    await using opened = await Stratalog.openArchive(archive)
    const orders = opened.log('orders')
    await expectRefused(
      (options) => orders.get(0, options),
      anyOptions('get', 'partitio', 'partition'),
    )
    await expectRefused(
      (options) => opened.query('SELECT 1', [], options),
      anyOptions('query', 'asof', 'asOf'),
    )
    await expectRefused(
      (options) => opened.dump(options)[Symbol.asyncIterator]().next(),
      anyOptions('dump', 'log', 'logs'),
    )
    await expectRefused(
      (name) => opened.log(name),
      [[undefined, /not a log name/, 'log_name_invalid']],
    )
    await expectRefused(
      (name) => opened.snapshot(name),
      [[undefined, /no snapshot/, 'snapshot_not_found']],
    )
  })

  test('an engine that is opened', async () => {
    const opening: readonly Call[] = [
      (options) => Stratalog.open(options),
      (options) => Stratalog.memoryOnly(options),
      (options) => Stratalog.openReadOnly(options),
    ]
    for (const open of opening)
      await expectRefused(open, [
        [null, /an object/, 'config_invalid'],
        ['./data', /an object/, 'config_invalid'],
        [{ datadir: 'x' }, /no such key/, 'config_invalid'],
      ])
    // Whoever adds a function here says above what it refuses.
    expect(
      Object.entries(stratalog)
        .flatMap(([name, value]) =>
          typeof value === 'function' && /^[a-z]/.test(name) ? name : [],
        )
        .toSorted(),
    ).toEqual([
      ...['drillArchive', 'exportRecords', 'isStratalogError', 'planRestoreArchive'],
      ...['reconcileArchive', 'restoreArchive', 'scrubFiles', 'verifyFiles'],
    ])
  })
})
