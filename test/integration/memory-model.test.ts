/**
 * Logs under small budgets against a plain array, in every mode: what is appended in every way there is, evicted,
 * expired, flushed and opened again is read in every way there is, and what is gone is told as a gap.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EvictionPolicy } from '../../src/format/manifest.ts'
import {
  type Batch,
  type Log,
  type OffsetGap,
  type ReadOptions,
  Stratalog,
  VirtualClock,
} from '../../src/index.ts'
import {
  type Appending,
  type Asked,
  NAMES,
  PARTITIONS,
  type Pools,
  type Step,
  TYPES,
  type Values,
  expectRow,
  inputOf,
  pools,
  readBy,
  step,
} from '../support/memory-model.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RUNS = 3
const RUNS_IN_MEMORY = 9

/** A record that was acknowledged; it expires within these, as its append may have waited. */
interface Kept {
  readonly values: Values
  readonly expiresMin: number
  readonly expiresMax: number
}

interface Held {
  readonly iterator: AsyncIterator<Batch, void>
  readonly batch: Batch
  readonly rows: readonly Values[]
}

interface Setting {
  readonly name: string
  readonly mode: 'memory' | 'persistent' | 'hybrid'
  readonly wal?: boolean
}

class Subject {
  readonly #setting: Setting
  readonly #clock = new VirtualClock()
  readonly #directory: string
  readonly #maxBytes: number
  readonly #pools: Pools
  /** By partition, then by offset. */
  readonly #model: Kept[][] = Array.from({ length: PARTITIONS }, () => [])
  #held: Held[] = []
  #hasWide = false
  /** What was recovered may be more than the budget, until some of it is flushed. */
  #mayBeOver = false
  #db: Stratalog | null = null

  constructor(setting: Setting, directory: string, maxBytes: number, pools: Pools) {
    this.#setting = setting
    this.#directory = directory
    this.#maxBytes = maxBytes
    this.#pools = pools
  }

  async open(): Promise<void> {
    const options = { maxMemoryBytes: this.#maxBytes, logLevel: 'silent' } as const
    const ports = { clock: this.#clock }
    if (this.#isDurable) {
      this.#db = await Stratalog.open({ ...options, dataDir: this.#directory }, ports)
    } else this.#db = await Stratalog.memoryOnly(options, ports)
  }

  async create(policy: EvictionPolicy): Promise<void> {
    const { mode, wal } = this.#setting
    const storage = this.#isDurable
      ? { mode, ...(wal === undefined ? {} : { wal }) }
      : { mode, evictionPolicy: policy }
    await this.#engine.createLog('subject', { partitions: PARTITIONS, schema: TYPES, storage })
  }

  async take(given: Step): Promise<void> {
    if (given.kind === 'append') await this.#appendAll(given.appends)
    else if (given.kind === 'read') await this.#read(given.asked)
    else if (given.kind === 'wait') this.#clock.advance(given.ms)
    else await this.#steps[given.kind]()
    this.#checkMemory()
  }

  async close(): Promise<void> {
    await this.#letGo()
    await this.#look()
    await this.#dump()
    await this.#engine.close()
  }

  readonly #steps: Readonly<
    Record<Exclude<Step['kind'], 'append' | 'read' | 'wait'>, () => Promise<void>>
  > = {
    hold: () => this.#hold(),
    'let-go': () => this.#letGo(),
    refused: () => this.#refused(),
    restart: () => this.#restart(),
    flush: () => this.#flush(),
    query: () => this.#query(),
    get: () => this.#get(),
  }

  get #isDurable(): boolean {
    return this.#setting.mode !== 'memory'
  }
  get #engine(): Stratalog {
    if (this.#db === null) throw new Error('The engine is not open.')
    return this.#db
  }
  get #log(): Log {
    return this.#engine.log('subject')
  }
  get #columns(): string[] {
    return [...NAMES, ...(this.#hasWide ? ['wide'] : []), '_offset', '_time']
  }

  /** Waits in real time, and lets appends that wait have virtual time. */
  async #settled<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    const done = work.finally(() => (isDone = true))
    done.catch(() => {})
    while (!isDone) {
      await new Promise((resolve) => setImmediate(resolve))
      if (!isDone && this.#engine.memoryMetrics().waitingAppends > 0) this.#clock.advance(5)
    }
    return done
  }

  /** All at once: those of one partition land in the order of the calls. */
  async #appendAll(appends: readonly Appending[]): Promise<void> {
    const before = this.#clock.now()
    const results = appends.map(async (given) => {
      const rows = this.#rowsOf(given)
      const { ttl, priority } = given
      const terms = this.#isDurable
        ? {}
        : { ...(ttl === null ? {} : { ttl }), ...(priority === null ? {} : { priority }) }
      const options = { partition: given.partition, adopt: given.how === 'adopted', ...terms }
      try {
        return { given, rows, result: await this.#log.append(inputOf(given, rows), options) }
      } catch (error) {
        expect(error).toMatchObject({ code: 'memory_full' })
        return null
      }
    })
    for (const applied of await this.#settled(Promise.all(results))) {
      if (applied === null) continue
      const { given, rows, result } = applied
      const kept = this.#model[given.partition] ?? []
      expect(result).toEqual({
        partition: given.partition,
        offset: kept.length,
        count: rows.length,
      })
      const ttl = this.#isDurable ? null : given.ttl
      const [expiresMin, expiresMax] =
        ttl === null ? [Infinity, Infinity] : [before + ttl, this.#clock.now() + ttl]
      kept.push(...rows.map((values) => ({ values, expiresMin, expiresMax })))
      if (rows.some((row) => row['wide'] !== undefined)) this.#hasWide = true
    }
  }

  #rowsOf({ how, count, pad, seed, wide }: Appending): Values[] {
    const isRow = how === 'rows' || how === 'row'
    const length = how === 'row' ? 1 : how === 'adopted' ? Math.max(count, 60) : count
    const text = 'p'.repeat(how === 'adopted' ? pad + 1_200 : pad)
    return Array.from({ length }, (_, index) => {
      const row: Record<string, unknown> = {}
      for (const [position, name] of NAMES.entries()) {
        const pool = this.#pools[name] ?? []
        const value = pool[(index * (position + 1) + seed) % pool.length]
        if (!(isRow && name === 'tags')) row[name] = value ?? null
      }
      row['pad'] = `${text}${index % 13}`
      row['word'] = seed % 3 === 0 ? `w${seed} ${index}` : row['word']
      if (isRow && wide !== null) row['wide'] = wide + index
      return row
    })
  }

  /** Every offset is there as it was appended, or told to be gone for the right reason. Returns what is there. */
  async #look(): Promise<Values[][]> {
    const all: Values[][] = []
    const now = this.#clock.now()
    for (const [number, model] of this.#model.entries()) {
      const gaps: OffsetGap[] = []
      const onGap = (gap: OffsetGap): number => gaps.push(gap)
      const columns = this.#columns
      const read = this.#log.read({ partition: number, from: 0, columns, onGap })
      const rows: Values[] = await this.#settled(read.toArray())
      const covered = new Set<number>()
      const cover = (offset: number): Kept => {
        if (covered.has(offset)) throw new Error(`Offset ${offset} comes twice.`)
        covered.add(offset)
        const kept = model[offset]
        if (kept === undefined) throw new Error(`Nothing was appended at ${offset}.`)
        return kept
      }
      let last = -1
      for (const row of rows) {
        const offset = Number(row['_offset'])
        if (offset <= last) throw new Error(`Offset ${offset} comes after ${last}.`)
        last = offset
        const kept = cover(offset)
        if (now >= kept.expiresMax) throw new Error(`Offset ${offset} has expired.`)
        expectRow(row, kept.values, columns)
      }
      for (const { from, to, cause } of gaps) {
        for (let offset = from; offset < to; offset++) {
          const kept = cover(offset)
          if (cause === 'expired') expect(kept.expiresMin).toBeLessThanOrEqual(now)
          else expect(cause).toBe('evicted')
        }
      }
      expect(covered.size).toBe(model.length)
      if (this.#isDurable) expect(gaps).toEqual([])
      all.push(rows)
    }
    return all
  }

  async #read({ partition: number, how, columns, last, limit, ...asked }: Asked): Promise<void> {
    const rows = (await this.#look())[number] ?? []
    const end = this.#model[number]?.length ?? 0
    const offsetAt = (share: number): number => Math.round(share * (end + 2))
    const times = rows.map((row) => Number(row['_time']))
    const [least, most] = [Math.min(...times), Math.max(...times)]
    const timeAt = (share: number): number =>
      rows.length === 0 ? 0 : least + Math.round(share * (most - least + 2))
    const from = asked.from === null ? 0 : offsetAt(asked.from)
    const to = asked.to === null ? Infinity : Math.max(from, offsetAt(asked.to))
    const since = asked.since === null ? -Infinity : timeAt(asked.since)
    const until = asked.until === null ? Infinity : timeAt(asked.until)
    const names = columns ?? NAMES
    const isConsume = how === 'consume'
    const wanted = rows
      .slice(last === null || isConsume ? 0 : Math.max(0, rows.length - last))
      .filter(({ _offset: offset }) => Number(offset) >= from && (isConsume || Number(offset) < to))
      .filter(({ _time: time }) => isConsume || (Number(time) >= since && Number(time) < until))
      .slice(0, limit ?? Infinity)
    const gone = { columns: [...new Set([...names, '_offset'])], onGap: 'skip' as const }
    const options: ReadOptions = {
      partition: number,
      ...gone,
      ...(asked.from === null ? {} : { from }),
      ...(asked.to === null ? {} : { to }),
      ...(asked.since === null ? {} : { since }),
      ...(asked.until === null ? {} : { until }),
      ...(last === null ? {} : { last }),
      ...(limit === null ? {} : { limit }),
    }
    const found = isConsume
      ? this.#engine.consume('subject', from, limit ?? 1_000_000, { partition: number, ...gone })
      : readBy(how, this.#log, options)
    const given = await this.#settled(found)
    expect(given.map((row) => row['_offset'])).toEqual(wanted.map((row) => row['_offset']))
    given.forEach((row, index) => expectRow(row, wanted[index] ?? {}, names))
  }

  async #get(): Promise<void> {
    const all = await this.#look()
    for (const [number, model] of this.#model.entries()) {
      const rows = new Map(all[number]?.map((row) => [row['_offset'], row]))
      for (let offset = 0; offset < model.length + 3; offset += 7) {
        const row = rows.get(offset)
        const got = this.#log.get(offset, { partition: number }).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'offset_gap' })
          return null
        })
        const found = await this.#settled(got)
        expect(found === null).toBe(row === undefined)
        if (row !== undefined && found !== null) expectRow(found, row, NAMES)
        const hot = this.#log.getHot(offset, undefined, { partition: number })
        if (row === undefined) expect(hot).toBeUndefined()
        if (!this.#isDurable) expect(hot === undefined).toBe(row === undefined)
        if (hot === undefined || row === undefined) continue
        expectRow(hot, row, NAMES)
        expect(this.#log.getHot(offset, 'word', { partition: number })).toBe(row['word'])
      }
    }
  }

  async #query(): Promise<void> {
    const all = await this.#look()
    const result = await this.#settled(
      this.#engine.query('SELECT _partition AS p, _offset AS o, word FROM subject ORDER BY p, o'),
    )
    const rows = await this.#settled(result.toArray())
    const wanted = all.flatMap((partitionRows, number) =>
      partitionRows.map((row) => [number, Number(row['_offset']), row['word']]),
    )
    expect(rows.map(({ p, o, word }) => [Number(p), Number(o), word])).toEqual(wanted)
  }

  async #dump(): Promise<void> {
    const all = await this.#look()
    const offsets: number[][] = Array.from({ length: PARTITIONS }, () => [])
    const read = async (): Promise<void> => {
      for await (const text of this.#engine.dump()) {
        const line = JSON.parse(text) as { type: string; partition: number; offset: number }
        if (line.type === 'record') offsets[line.partition]?.push(line.offset)
      }
    }
    await this.#settled(read())
    expect(offsets).toEqual(all.map((rows) => rows.map((row) => Number(row['_offset']))))
  }

  /** Begins to read, and stays in the middle of it. */
  async #hold(): Promise<void> {
    const columns = this.#columns
    const number = this.#held.length % PARTITIONS
    const stream = this.#log.read({ partition: number, columns, onGap: 'skip' })
    const iterator = stream[Symbol.asyncIterator]()
    const first = await this.#settled(iterator.next())
    if (first.done === true) return
    this.#held.push({ iterator, batch: first.value, rows: first.value.toRows() })
  }

  async #letGo(): Promise<void> {
    for (const { iterator, batch, rows } of this.#held.splice(0)) {
      expect(batch.toRows()).toEqual(rows)
      expect([...batch.lazyRows()].length).toBe(rows.length)
      await this.#settled(Promise.resolve(iterator.return?.()))
    }
  }

  /** Appends of which nothing is applied. */
  async #refused(): Promise<void> {
    const throwing = {
      count: 1,
      get word(): string {
        throw new Error('no word')
      },
    }
    const refused: object[][] = [
      [{ count: 1, word: 'new' }, { count: 'text' }],
      [{ count: 1, word: 'newer', other: 'a column' }, throwing],
    ]
    for (const rows of refused) {
      const work = this.#log.append(rows, { partition: 0 })
      await expect(this.#settled(work)).rejects.toThrow()
    }
    expect(this.#log.describe().schema.some(({ name }) => name === 'other')).toBe(false)
  }

  async #restart(): Promise<void> {
    if (!this.#isDurable) return
    await this.#letGo()
    await this.#engine.close()
    await this.open()
    this.#mayBeOver = true
    await this.#look()
  }

  async #flush(): Promise<void> {
    if (this.#isDurable) await this.#settled(this.#engine.tier.now({ to: 'disk' }))
  }

  #checkMemory(): void {
    const metrics = this.#engine.memoryMetrics()
    const { usedBytes, recordCount, evictionCount, expiredRecords } = metrics
    if (usedBytes <= this.#maxBytes) this.#mayBeOver = false
    if (!this.#mayBeOver) expect(usedBytes).toBeLessThanOrEqual(this.#maxBytes)
    expect(metrics.perLog['subject']?.usedBytes).toBe(usedBytes)
    const appended = this.#model.reduce((sum, { length }) => sum + length, 0)
    if (this.#isDurable) expect([evictionCount, expiredRecords]).toEqual([0, 0])
    else expect(recordCount + evictionCount + expiredRecords).toBe(appended)
  }
}

describe('a log under a small budget holds what a plain array holds', () => {
  test.each<Setting>([
    { name: 'in memory', mode: 'memory' },
    { name: 'persistent', mode: 'persistent' },
    { name: 'hybrid with a WAL', mode: 'hybrid', wal: true },
    { name: 'hybrid without a WAL', mode: 'hybrid', wal: false },
  ])('$name', async (setting) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 8, maxLength: 40, size: 'max' }),
        fc.constantFrom<EvictionPolicy>('fifo', 'lru', 'ttl', 'priority', 'reject'),
        fc.constantFrom(640 * 1024, 2 * 1024 * 1024),
        pools,
        async (steps, policy, maxBytes, values) => {
          const directory = await temporaryDirectory()
          const subject = new Subject(setting, directory, maxBytes, values)
          await subject.open()
          await subject.create(policy)
          for (const given of steps) await subject.take(given)
          await subject.close()
        },
      ),
      {
        numRuns: setting.mode === 'memory' ? RUNS_IN_MEMORY : RUNS,
        endOnFailure: true,
        seed: -715931601,
        path: '7',
      },
    )
  })
})
