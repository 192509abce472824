/** The place of a continuous query against plain models: windows that hold records, one record at a time. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkResumePoint,
  type StreamResumePoint,
} from '../../../../src/query/stream/resume-point.ts'
import {
  type ProgressOptions,
  StreamProgress,
} from '../../../../src/query/stream/stream-progress.ts'
import { type WindowSpec, firstEnd, lastStart } from '../../../../src/query/stream/window-spec.ts'

interface Append {
  readonly partition: number
  readonly times: readonly number[]
  /** What happens after it was read. */
  readonly after: 'nothing' | 'emit' | 'resume'
}

const PARTITIONS = 2
const appends: fc.Arbitrary<Append[]> = fc.array(
  fc.record({
    partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
    times: fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 1, maxLength: 8 }),
    after: fc.constantFrom('nothing', 'emit', 'resume'),
  }),
  { maxLength: 30 },
)
const lateness = fc.integer({ min: 0, max: 60 })
const aligned: fc.Arbitrary<WindowSpec> = fc.constantFrom(
  { kind: 'tumble', sizeMs: 10, slideMs: 10 },
  { kind: 'hop', sizeMs: 20, slideMs: 5 },
  { kind: 'hop', sizeMs: 17, slideMs: 5 },
)
const session: WindowSpec = { kind: 'session', sizeMs: 7, slideMs: 7 }

type RecordId = `${number}/${number}`
type Windows = Map<string, readonly RecordId[]>

/** Reads appends as a query does, and gives windows from the records as its SQL would. */
class Reader {
  progress: StreamProgress
  /** By window, all that was given of it, in order. */
  readonly given = new Map<string, (readonly RecordId[])[]>()
  /** All that was given, in order. */
  readonly rows: { readonly name: string; readonly ids: readonly RecordId[] }[] = []
  readonly #options: ProgressOptions
  readonly #log: number[][] = Array.from({ length: PARTITIONS }, () => [])

  constructor(options: ProgressOptions) {
    this.#options = options
    this.progress = StreamProgress.begin(options, Array<number>(PARTITIONS).fill(0))
  }

  read({ partition, times, after }: Append): void {
    const log = this.#log[partition] ?? []
    let rest = Float64Array.from(times)
    log.push(...times)
    for (;;) {
      const { rows } = this.progress.take(partition, log.length - rest.length, rest)
      rest = rest.slice(rows)
      if (rest.length === 0) break
      expect(this.progress.isFull && this.progress.hasDueWindows).toBe(true)
      this.emit()
    }
    if (after === 'emit' && this.progress.hasDueWindows) this.emit()
    if (after === 'resume') this.#resume()
  }

  end(): void {
    this.progress.end()
    this.emit()
  }

  emit(): void {
    const { horizon, dueHorizon, watermark, changed } = this.progress
    if (this.#options.spec.kind === 'session') {
      const hasChanged = changed.length > 0
      const all = sessionsOf(this.#records(!hasChanged, hasChanged))
      if (hasChanged)
        for (const [name, { end, ids }] of all)
          if (end <= horizon && ids.some((id) => this.#isNew(id))) this.#give(name, ids)
      for (const [name, { end, ids }] of all)
        if (end > horizon && end <= dueHorizon) this.#give(name, ids)
      const open = [...all.values()].filter(({ end }) => end > watermark.value)
      this.progress.settle(Math.min(...open.map(({ start }) => start), watermark.value))
      return
    }
    for (const start of changed) this.#give(String(start), this.#window(start, false))
    const { spec } = this.#options
    for (let start = -200; start <= 200; start += spec.slideMs) {
      const end = start + spec.sizeMs
      if (end > horizon && end <= dueHorizon) this.#give(String(start), this.#window(start, true))
    }
    this.progress.settle(-Infinity)
  }

  #isNew(id: RecordId): boolean {
    const [partition = 0, offset = 0] = id.split('/').map(Number)
    return offset >= (this.progress.partitions[partition]?.emitted ?? 0)
  }

  #give(name: string, ids: readonly RecordId[]): void {
    this.rows.push({ name, ids })
    if (ids.length > 0) this.given.set(name, [...(this.given.get(name) ?? []), ids])
  }

  #window(start: number, isOpen: boolean): RecordId[] {
    const end = start + this.#options.spec.sizeMs
    const { late } = this.progress
    return this.#records(isOpen)
      .filter(({ time, partition, offset }) => {
        const isLate = late.some(
          (one) => one.partition === partition && one.offset === offset && end <= one.horizon,
        )
        return time >= start && time < end && !isLate
      })
      .map(({ id }) => id)
  }

  #records(
    isOpen = true,
    isAnyTime = false,
  ): { partition: number; offset: number; time: number; id: RecordId }[] {
    const { partitions, late, sessionFrom } = this.progress
    const isSession = this.#options.spec.kind === 'session'
    return partitions.flatMap(({ next, open }, partition) =>
      (this.#log[partition] ?? [])
        .slice(0, next)
        .map((time, offset) => ({ partition, offset, time, id: `${partition}/${offset}` as const }))
        .filter(({ offset, time }) => {
          if (isOpen && offset < open.first(next)) return false
          if (!isSession) return true
          return (
            (isAnyTime || time >= sessionFrom) &&
            !late.some((one) => one.partition === partition && one.offset === offset)
          )
        }),
    )
  }

  /** As from a file: through JSON, checked. */
  #resume(): void {
    const point: StreamResumePoint = {
      version: 1,
      log: 'clicks',
      logId: 1,
      sql: '',
      ...this.progress.state(),
      given: 0,
    }
    this.progress = StreamProgress.resume(
      this.#options,
      checkResumePoint(JSON.parse(JSON.stringify(point))),
    )
  }
}

interface Session {
  readonly start: number
  readonly end: number
  readonly ids: readonly RecordId[]
}

/** Sessions by their name, which is their first and last time. */
function sessionsOf(records: readonly { time: number; id: RecordId }[]): Map<string, Session> {
  const sessions: { start: number; end: number; ids: RecordId[] }[] = []
  for (const { time, id } of records.toSorted((a, b) => a.time - b.time)) {
    const last = sessions.at(-1)
    if (last !== undefined && time < last.end) {
      last.end = time + session.sizeMs
      last.ids.push(id)
    } else sessions.push({ start: time, end: time + session.sizeMs, ids: [id] })
  }
  return new Map(sessions.map((one) => [`${one.start}..${one.end}`, one]))
}

/** Calls `visit` for every record in the order of reading, with the watermark that it meets. */
function follow(
  all: readonly Append[],
  latenessMs: number,
  visit: (id: RecordId, time: number, watermark: number) => void,
): void {
  const newest = Array<number>(PARTITIONS).fill(-Infinity)
  const lengths = Array<number>(PARTITIONS).fill(0)
  for (const { partition, times } of all) {
    for (const time of times) {
      newest[partition] = Math.max(newest[partition] ?? -Infinity, time)
      const offset = lengths[partition] ?? 0
      lengths[partition] = offset + 1
      visit(`${partition}/${offset}`, time, Math.min(...newest) - latenessMs)
    }
  }
}

function modelWindows(spec: WindowSpec, all: readonly Append[], latenessMs: number): Windows {
  const windows = new Map<string, RecordId[]>()
  follow(all, latenessMs, (id, time, watermark) => {
    const first = firstEnd(spec, time) - spec.sizeMs
    for (let start = first; start <= lastStart(spec, time); start += spec.slideMs) {
      if (start + spec.sizeMs <= watermark) continue
      const name = String(start)
      windows.set(name, [...(windows.get(name) ?? []), id])
    }
  })
  return windows
}

function options(given: Partial<ProgressOptions>): ProgressOptions {
  return {
    spec: session,
    latenessMs: 0,
    isUpdating: false,
    since: -Infinity,
    lateMax: 3,
    ...given,
  }
}

const sorted = (windows: Iterable<readonly [string, readonly RecordId[]]>): unknown =>
  [...windows]
    .map(([name, ids]) => [name, [...ids].sort()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))

test('every window is given once, with the records that came before it closed, through any resumptions', () => {
  fc.assert(
    fc.property(aligned, appends, lateness, (spec, all, latenessMs) => {
      const reader = new Reader(options({ spec, latenessMs }))
      for (const append of all) reader.read(append)
      reader.end()
      for (const [name, times] of reader.given) expect([name, times.length]).toEqual([name, 1])
      const given = [...reader.given].map(([name, [ids = []]]) => [name, ids] as const)
      expect(sorted(given)).toEqual(sorted(modelWindows(spec, all, latenessMs)))
    }),
    { numRuns: 500 },
  )
})

test('when late records change windows, what was given last of each has every record', () => {
  fc.assert(
    fc.property(aligned, appends, lateness, (spec, all, latenessMs) => {
      const reader = new Reader(options({ spec, latenessMs, isUpdating: true }))
      for (const append of all) reader.read(append)
      reader.end()
      const given = [...reader.given].map(([name, times]) => [name, times.at(-1) ?? []] as const)
      expect(sorted(given)).toEqual(sorted(modelWindows(spec, all, Infinity)))
    }),
    { numRuns: 500 },
  )
})

test('every session is given once, made of all records that were not older than the watermark', () => {
  fc.assert(
    fc.property(appends, lateness, (all, latenessMs) => {
      const reader = new Reader(options({ latenessMs, lateMax: 1_000 }))
      for (const append of all) reader.read(append)
      reader.end()
      const accepted: { time: number; id: RecordId }[] = []
      follow(all, latenessMs, (id, time, watermark) => {
        if (time >= watermark) accepted.push({ time, id })
      })
      for (const [name, times] of reader.given) expect([name, times.length]).toEqual([name, 1])
      const given = [...reader.given].map(([name, [ids = []]]) => [name, ids] as const)
      const expected = [...sessionsOf(accepted)].map(([name, { ids }]) => [name, ids] as const)
      expect(sorted(given)).toEqual(sorted(expected))
    }),
    { numRuns: 500 },
  )
})

test('when late records change sessions, each row takes the place of those within it, and the rest are as made at once', () => {
  fc.assert(
    fc.property(appends, lateness, (all, latenessMs) => {
      const reader = new Reader(options({ latenessMs, isUpdating: true }))
      for (const append of all) reader.read(append)
      reader.end()
      const kept = new Map<string, readonly RecordId[]>()
      for (const { name, ids } of reader.rows) {
        const [start = 0, end = 0] = name.split('..').map(Number)
        for (const other of kept.keys()) {
          const [from = 0, to = 0] = other.split('..').map(Number)
          if (from >= start && to <= end) kept.delete(other)
          // None is cut in two.
          else expect(to <= start || from >= end).toBe(true)
        }
        kept.set(name, ids)
      }
      const records: { time: number; id: RecordId }[] = []
      follow(all, latenessMs, (id, time) => records.push({ time, id }))
      const expected = [...sessionsOf(records)].map(([name, { ids }]) => [name, ids] as const)
      expect(sorted(kept)).toEqual(sorted(expected))
    }),
    { numRuns: 1_000 },
  )
})

test('late records are counted, and where in a batch they stand makes no difference', () => {
  const spec: WindowSpec = { kind: 'tumble', sizeMs: 10, slideMs: 10 }
  const times = [5, 25, 7, 19, 20, 31, 29]
  const lateOf = (cuts: readonly number[]): number[] => {
    const progress = StreamProgress.begin(options({ spec, lateMax: 100 }), [100])
    const found: number[] = []
    for (const [index, start] of cuts.entries()) {
      const part = Float64Array.from(times.slice(start, cuts[index + 1]))
      const { rows, late } = progress.take(0, 100 + start, part)
      expect(rows).toBe(part.length)
      found.push(...late.map((row) => 100 + start + row))
    }
    expect(progress.counts).toEqual({ records: times.length, late: found.length })
    return found
  }
  // 25 closes up to 20, so 7 and 19 are late; 31 closes up to 30, so 29 is.
  expect(lateOf([0])).toEqual([102, 103, 106])
  expect(lateOf([0, 1, 2, 3, 4, 5, 6])).toEqual([102, 103, 106])
})

test('records without a time, and those before the beginning, are in no window', () => {
  const spec: WindowSpec = { kind: 'tumble', sizeMs: 10, slideMs: 10 }
  const progress = StreamProgress.begin(options({ spec, since: 100 }), [0])
  const { rows, late } = progress.take(0, 0, Float64Array.of(NaN, 500, NaN, 50, 99))
  expect({ rows, late, counts: progress.counts }).toEqual({
    rows: 5,
    late: [],
    counts: { records: 5, late: 0 },
  })
  expect(progress.watermark.value).toBe(500)
})

test('too many late records within open sessions end a query with a code', () => {
  const progress = StreamProgress.begin(options({ latenessMs: 0, lateMax: 2 }), [0])
  const { rows } = progress.take(0, 0, Float64Array.of(100, 99, 98, 97))
  expect(rows).toBe(3)
  expect(progress.isFull).toBe(true)
  expect(() => progress.settle(90)).toThrow(expect.objectContaining({ code: 'query_limit' }))
})

test('what is no resume point is refused', () => {
  const sound = {
    version: 1,
    log: 'clicks',
    logId: 1,
    sql: 'SELECT 1',
    ...StreamProgress.begin(options({}), [0]).state(),
    given: 0,
  }
  expect(checkResumePoint(sound)).toBe(sound)
  const broken: unknown[] = [
    null,
    'clicks',
    {},
    { ...sound, version: 2 },
    { ...sound, given: -1 },
    { ...sound, horizon: 'now' },
    { ...sound, partitions: [{ partition: 0 }] },
    { ...sound, late: [{ partition: 0, offset: 0.5, time: 1, horizon: 1 }] },
    { ...sound, late: [null] },
    { ...sound, partitions: [null] },
    { ...sound, changed: ['1); DROP TABLE x; --'] },
    { ...sound, isEnding: undefined },
  ]
  for (const point of broken)
    expect(() => checkResumePoint(point), JSON.stringify(point)).toThrow(
      expect.objectContaining({ code: 'argument_invalid' }),
    )
})
