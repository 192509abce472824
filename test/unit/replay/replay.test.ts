import { describe, expect, test } from 'vitest'
import { LogHasher } from '../../../src/format/content-hash.ts'
import { encodeIdentity } from '../../../src/format/identity.ts'
import { IDENTITY_FILE } from '../../../src/format/paths.ts'
import { openArchive } from '../../../src/log/archive-view.ts'
import { MERGE_ROWS_MAX } from '../../../src/replay/cursor.ts'
import { type ReplayOptions, replay } from '../../../src/replay/replay.ts'
import type { ReplayReport, ResumePoint } from '../../../src/replay/report.ts'
import { functionSink, type ReplaySink } from '../../../src/replay/sink.ts'
import {
  ArchiveFixture,
  FIXTURE_TYPES,
  type FixtureLog,
  fixtureRows,
  flipInBlock,
} from '../../support/archive-fixture.ts'
import { expectError } from '../../support/expect-error.ts'

interface Given {
  readonly log: string
  readonly partition: number
  readonly offset: number
  readonly length: number
}

/** Two logs, one with two partitions, whose times interleave; three segments each. */
async function history(): Promise<{ fixture: ArchiveFixture; a: FixtureLog; b: FixtureLog }> {
  const fixture = await ArchiveFixture.create()
  const a = await fixture.addLog('a', FIXTURE_TYPES)
  const b = await fixture.addLog('b', FIXTURE_TYPES, { partitions: 2 })
  for (const base of [0, 100, 200]) {
    await fixture.addSegment(a, 0, base, fixtureRows(base, 100, 1_000_000))
    await fixture.addSegment(b, 0, base, fixtureRows(base, 100, 1_000_500))
    await fixture.addSegment(b, 1, base, fixtureRows(base, 100, 1_001_000, 5))
  }
  return { fixture, a, b }
}

async function run(
  fixture: ArchiveFixture,
  options: ReplayOptions = {},
): Promise<{ report: ReplayReport; given: Given[]; times: number[] }> {
  const given: Given[] = []
  const times: number[] = []
  const sink = functionSink((log, partition, batch) => {
    given.push({ log: log.name, partition, offset: batch.baseOffset, length: batch.length })
    times.push(fixture.clock.monotonic())
  })
  const report = await replay(await openArchive(fixture.store), sink, options, {
    clock: fixture.clock,
  })
  return { report, given, times }
}

function keys(log: FixtureLog, fixture: ArchiveFixture): string[] {
  const state = fixture.manifest.state.logs.get(log.definition.id)
  return (state?.partitions[0]?.segments ?? []).map((segment) => segment.object?.object ?? '')
}

describe('a replay', () => {
  test('gives every record, and the hash of each log is the oracle of its records', async () => {
    const { fixture, a, b } = await history()
    const { report } = await run(fixture)
    expect(report).toMatchObject({
      records: 900,
      since: null,
      until: null,
      missing: [],
      corrupt: [],
    })
    expect(report.logs.map((log) => [log.name, log.records, log.hash, log.gaps])).toEqual([
      ['a', 300, fixture.hash(a), []],
      ['b', 600, fixture.hash(b), []],
    ])
    expect(report.bytes).toBe(report.logs.reduce((sum, log) => sum + log.bytes, 0))
    expect(report.bytes).toBeGreaterThan(0)
  })

  test('goes in offset order in a partition and by first time across them', async () => {
    const { fixture } = await history()
    const { given } = await run(fixture)
    const next = new Map<string, number>()
    for (const { log, partition, offset, length } of given) {
      expect(offset).toBe(next.get(`${log}/${partition}`) ?? 0)
      next.set(`${log}/${partition}`, offset + length)
    }
    const startTime = ({ log, partition, offset }: Given): number =>
      log === 'a'
        ? 1_000_000 + offset * 10
        : partition === 0
          ? 1_000_500 + offset * 10
          : 1_001_000 + offset * 5
    const starts = given.map(startTime)
    expect(starts).toEqual(starts.toSorted((x, y) => x - y))
  })

  test('cuts big batches so that partitions interleave', async () => {
    const fixture = await ArchiveFixture.create()
    for (const name of ['a', 'b']) {
      const log = await fixture.addLog(name, FIXTURE_TYPES)
      await fixture.addSegment(log, 0, 0, fixtureRows(0, 3 * MERGE_ROWS_MAX))
    }
    const { given } = await run(fixture)
    expect(given.map(({ log }) => log).join('')).toBe('ababab')
    expect((await run(fixture, { logs: ['b'] })).given).toHaveLength(1)
  })

  test('takes logs, times and offsets', async () => {
    const { fixture, a, b } = await history()
    const { report } = await run(fixture, { logs: ['b'], since: 1_001_000, until: 1_002_000 })
    const within = (record: { values: Readonly<Record<string, unknown>> }): boolean => {
      const at = (record.values['at'] as Date).getTime()
      return at >= 1_001_000 && at < 1_002_000
    }
    expect(report.logs[0]?.hash).toBe(fixture.hash(b, within))
    expect(report.since).toBe('1970-01-01T00:16:41.000Z')
    const cut = await run(fixture, { logs: ['a'], from: 50, to: 150 })
    expect(cut.report.logs[0]?.hash).toBe(
      fixture.hash(a, ({ offset }) => offset >= 50 && offset < 150),
    )
    await expect(run(fixture, { from: 5 })).rejects.toMatchObject({ code: 'argument_invalid' })
    await expect(run(fixture, { logs: ['nope'] })).rejects.toMatchObject({ code: 'log_not_found' })
  })

  test('reports gaps, missing and corrupt objects and gives the rest', async () => {
    const { fixture, a } = await history()
    await fixture.addSegment(a, 0, 350, fixtureRows(350, 50))
    const [first = '', second = '', third = ''] = keys(a, fixture)
    await fixture.store.remove(second)
    await fixture.damage(third, flipInBlock)
    const { report } = await run(fixture, { logs: ['a'] })
    expect(report.records).toBe(150)
    expect(report.missing).toEqual([{ key: second, log: 'a', partition: 0, from: 100, to: 200 }])
    expect(report.corrupt).toEqual([
      {
        key: third,
        log: 'a',
        partition: 0,
        from: 200,
        to: 300,
        position: expect.any(Number) as number,
        kind: 'checksum',
      },
    ])
    expect(report.logs[0]?.gaps).toEqual([{ partition: 0, from: 300, to: 350, cause: 'missing' }])
    expect(report.resumePoint.logs).toMatchObject([
      { name: 'a', partitions: [{ partition: 0, offset: 400, records: 150 }] },
    ])
    await fixture.store.remove(keys(a, fixture).at(-1) ?? '')
    const cut = await run(fixture, { logs: ['a'] })
    expect(cut.report.resumePoint.logs[0]?.partitions[0]?.offset).toBe(400)
    expect(first).not.toBe('')
  })

  test('can be stopped anywhere and goes on without a loss or a repeat', async () => {
    const { fixture, a, b } = await history()
    for (let stopAfter = 1; stopAfter < 12; stopAfter++) {
      const hashers = new Map<string, LogHasher>()
      const sink: ReplaySink = {
        begin: async ({ definition, schemas }) => {
          const schema = schemas.at(-1)
          if (schema !== undefined && !hashers.has(definition.name))
            hashers.set(definition.name, new LogHasher(schema))
          return null
        },
        append: async (log, partition, batch) => hashers.get(log.name)?.add(partition, batch),
        end: async () => {},
      }
      const archive = await openArchive(fixture.store)
      const controller = new AbortController()
      let point: ResumePoint | undefined
      let batches = 0
      const onProgress = (progress: { resumePoint(): ResumePoint }): void => {
        if (++batches < stopAfter) return
        point = progress.resumePoint()
        controller.abort()
      }
      const first = replay(archive, sink, { onProgress, signal: controller.signal }, fixture)
      if (stopAfter < 9) await expect(first).rejects.toMatchObject({ code: 'aborted' })
      else await first
      const rest = await replay(
        archive,
        sink,
        { resumePoint: JSON.parse(JSON.stringify(point ?? { logs: [] })) as ResumePoint },
        fixture,
      )
      if (stopAfter >= 9) break
      expect([hashers.get('a')?.digestHex(), hashers.get('b')?.digestHex()]).toEqual([
        fixture.hash(a),
        fixture.hash(b),
      ])
      expect(rest.resumePoint.logs).toEqual([
        { name: 'a', partitions: [{ partition: 0, offset: 300, records: 300 }] },
        {
          name: 'b',
          partitions: [
            { partition: 0, offset: 300, records: 300 },
            { partition: 1, offset: 300, records: 300 },
          ],
        },
      ])
    }
  })

  test('keeps the pace of history when asked to', async () => {
    const { fixture } = await history()
    const replaying = run(fixture, { logs: ['a'], speed: 10 })
    let isDone = false
    void replaying.then(() => (isDone = true))
    while (!isDone) {
      fixture.clock.advance(1)
      await Promise.resolve()
    }
    const { report, times } = await replaying
    expect(times.map((time) => Math.round((time - (times[0] ?? 0)) / 10))).toEqual([0, 10, 20])
    expect(report.limitedBy).toBe('pace')
    await expect(run(fixture, { speed: 0 })).rejects.toMatchObject({ code: 'argument_invalid' })
  })

  test('ends with the error of its sink and does not say that it ended well', async () => {
    const { fixture } = await history()
    let isEnded = false
    const sink: ReplaySink = {
      begin: async () => null,
      append: () => Promise.reject(new Error('the sink is full')),
      end: async () => {
        isEnded = true
      },
    }
    await expect(replay(await openArchive(fixture.store), sink, {}, fixture)).rejects.toThrow(
      'the sink is full',
    )
    expect(isEnded).toBe(false)
  })

  test('of the same archive is the same twice', async () => {
    const { fixture } = await history()
    const [one, two] = [await run(fixture), await run(fixture)]
    expect(one.given).toEqual(two.given)
    expect(one.report.logs).toEqual(two.report.logs)
  })
})

describe('opening an archive', () => {
  test('that is none says what is there', async () => {
    const { store } = await ArchiveFixture.create()
    for await (const { key } of store.list('')) await store.remove(key)
    await expect(openArchive(store)).rejects.toMatchObject({
      code: 'archive_not_found',
      message: expect.stringContaining('found nothing') as string,
    })
    await store.put('photos/cat.jpg', new Uint8Array(1))
    await expect(openArchive(store)).rejects.toMatchObject({
      code: 'archive_not_found',
      message: expect.stringContaining('photos/cat.jpg') as string,
    })
  })

  test('that is a data directory says so, and what to name', async () => {
    const { store, manifest } = await ArchiveFixture.create()
    await store.put(IDENTITY_FILE, encodeIdentity({ kind: 'directory', engineId: 'e1' }))
    const open = async (): Promise<string> =>
      (await expectError(openArchive(store), 'archive_not_found')).message
    const advice = 'and no archive. Name it as dataDir (--data-dir), or name'
    const is = `${store.url} is the data directory of engine e1, ${advice}`
    expect(await open()).toBe(`${is} the URL of its archive here.`)
    const noted = { url: 's3://shop/x', endpoint: null, region: null, forcePathStyle: null }
    await manifest.commit([{ kind: 'archive-noted', archive: noted }])
    expect(await open()).toBe(`${is} s3://shop/x here.`)
    for await (const { key } of store.list('manifest/')) await store.remove(key)
    expect(await open()).toBe(`${is} the URL of its archive here.`)
  })

  test('that has the name of another engine says that two archives lie in one place', async () => {
    const { store } = await ArchiveFixture.create()
    await store.put(IDENTITY_FILE, encodeIdentity({ kind: 'archive', engineId: 'e1' }))
    const { message } = await expectError(openArchive(store), 'archive_not_found')
    expect(message).toContain('files of two archives lie in one place')
  })
})
