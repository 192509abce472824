/** One client of a simulated engine: it appends, reads and moves things about, and holds answers against the model. */
import { type ErrorCode, isStratalogError } from '../../src/base/errors.ts'
import type { AckLevel } from '../../src/format/manifest.ts'
import type { Log } from '../../src/index.ts'
import { CHANGED_CODES } from './checks.ts'
import { heldLogs } from './deletions.ts'
import type { Dice } from './dice.ts'
import { readBeside, tryToWrite } from './guests.ts'
import type { Life } from './life.ts'
import type { LogModel, Submission } from './log-model.ts'
import { Violation } from './violation.ts'
import {
  DECLARED,
  EXTRA_COLUMNS_MAX,
  chooseAltered,
  columnsOf,
  partitionOf,
  rowsOf,
} from './records.ts'
import { MoreActions } from './more-actions.ts'
import { produce } from './producers.ts'
import type { Step } from './steps.ts'
import { mayBeGone } from './superseded.ts'

const ACTIONS = {
  append: 50,
  burst: 8,
  singles: 8,
  produce: 25,
  alter: 2,
  'bad append': 3,
  read: 10,
  latest: 4,
  get: 4,
  tail: 2,
  now: 4,
  round: 3,
  compact: 2,
  collect: 1,
  snapshot: 2,
  status: 2,
  rival: 1,
  'read beside': 2,
  wait: 25,
  'clock jump': 1,
} as const

type Action = keyof typeof ACTIONS

/** What is done more often in a life that is to end in a step. */
const LEADS_TO: Readonly<Partial<Record<Step, Partial<Record<Action, number>>>>> = {
  snapshot: { snapshot: 40 },
  compact: { now: 20, compact: 20 },
  collect: { now: 20, compact: 20, collect: 20 },
  upload: { now: 20 },
  'archive commit': { now: 20 },
  evict: { now: 20, wait: 60 },
  'cold read': { now: 20, read: 40, wait: 60 },
  'wal roll': { burst: 30 },
  'wal release': { burst: 30, now: 20 },
  'manifest base': { now: 60, burst: 30 },
  checkpoint: { now: 20 },
}

/** An append in RAM may find no room, and one to a closed or failed engine is told so. */
const APPEND_CODES: readonly ErrorCode[] = ['memory_full', 'engine_closed']
const READ_CODES: readonly ErrorCode[] = ['engine_closed']

export class Client {
  readonly #life: Life
  readonly #dice: Dice
  readonly #more: MoreActions
  #snapshots = 0

  constructor(life: Life, dice: Dice) {
    this.#life = life
    this.#dice = dice
    this.#more = new MoreActions(life, dice, {
      append: (log, opened) => this.#appendTo(log, opened),
      bringDown: (to) => this.bringDown(to),
      snapshot: () => this.#snapshot(),
    })
  }

  /** Does so many things, one after the other, until the process dies. */
  async work(count: number): Promise<void> {
    const { process, checks } = this.#life
    const { focus } = process
    const weights = { ...ACTIONS, ...(focus === null ? {} : LEADS_TO[focus]) }
    try {
      for (let left = count; left > 0 && process.isAlive; left--) {
        if (!(await this.#more.act())) await this.#act(this.#dice.weighted<Action>(weights))
      }
    } catch (error) {
      if (error instanceof Violation) checks.failWith(error)
      else checks.fail('I7', `a client met ${String(error)} ${(error as Error).stack ?? ''}`)
    }
  }

  async #act(action: Action): Promise<void> {
    const { model, world, hasArchive } = this.#life
    const log = this.#dice.pick(model.logs)
    if (log.isDeleting || log.isAway) return this.wait(10)
    switch (action) {
      case 'append':
        return this.append(log)
      case 'burst':
        await Promise.all(Array.from({ length: this.#dice.int(2, 8) }, () => this.append(log)))
        return
      case 'singles':
        await this.#appendSingles(log)
        return
      case 'produce':
        return this.#produce(log)
      case 'alter':
        return this.#alter(log)
      case 'bad append':
        return this.#appendBadly(log)
      case 'read':
        return this.#read(log)
      case 'latest':
        return this.#readLatest(log)
      case 'get':
        return this.#get(log)
      case 'tail':
        return this.#tail(log)
      case 'now':
        return this.bringDown(hasArchive && this.#dice.chance(0.6) ? 'object' : 'disk')
      case 'round':
        await this.#settle('a tiering round', this.#life.db.tier.run(), READ_CODES)
        return
      case 'compact':
        await this.#settle('a compaction', this.#life.db.tier.compact(), READ_CODES)
        return
      case 'collect':
        // Readers hold on to what they began with for a while.
        if (hasArchive) await this.#collect()
        return
      case 'snapshot':
        if (hasArchive) await this.#snapshot()
        return
      case 'status':
        this.#checkBounds()
        return
      case 'rival':
        return tryToWrite(this.#life)
      case 'read beside':
        if (log.isCreated) await this.#readBeside(log, this.#dice.int(0, log.spec.partitions - 1))
        return
      case 'wait':
        return this.wait(this.#dice.magnitude(3_000))
      case 'clock jump':
        world.jumpWallClock(this.#dice.int(-5_000, 60_000))
        return
    }
  }

  async wait(ms: number): Promise<void> {
    const { process } = this.#life
    await process.outlive(new Promise<void>((resolve) => process.after(ms, resolve)))
  }

  /** The log, made when it is not there; null when that failed. */
  async #open(log: LogModel): Promise<Log | null> {
    const { db } = this.#life
    const { name, partitions, isKeyed, isDeclared, storage } = log.spec
    if (log.isCreated) return db.log(name)
    log.isAsked = true
    const creation = db.createLog(name, {
      partitions,
      storage,
      ...(isKeyed ? { keyColumn: 'key' } : {}),
      ...(isDeclared ? { schema: DECLARED } : {}),
    })
    const made = await this.#settle(`creating ${name}`, creation, ['log_exists', 'engine_closed'])
    if (made !== null) {
      log.isCreated = true
      return made.value
    }
    // Another client was faster.
    if (this.#life.process.isAlive && log.isCreated) return db.log(name)
    return null
  }

  async append(log: LogModel): Promise<void> {
    const opened = await this.#open(log)
    if (opened !== null) await this.#appendTo(log, opened)
  }

  async #appendTo(log: LogModel, opened: Log): Promise<void> {
    const dice = this.#dice
    const { spec } = log
    const isColumns = dice.chance(0.2)
    const facts = {
      count: dice.chance(0.9) ? dice.int(1, 12) : dice.int(13, 120),
      extraColumns: Math.min(EXTRA_COLUMNS_MAX, Math.floor(this.#life.model.life / 2)),
      isWide: this.#life.model.life > 1 && dice.chance(0.1),
      padding: dice.chance(0.9) ? dice.int(0, 60) : dice.int(100, 4_000),
    }
    const level: AckLevel = dice.chance(0.75) ? spec.ack : dice.pick(spec.levels)
    const isNamed = !spec.isKeyed && dice.chance(0.6)
    const named = isNamed ? dice.int(0, spec.partitions - 1) : null
    const submission = this.#life.model.submit(
      log,
      facts,
      (id) => (spec.isKeyed ? partitionOf(spec, id) : named),
      level,
    )
    const input = isColumns ? columnsOf(submission) : rowsOf(submission)
    const isPlaced = isNamed || (isColumns && spec.isKeyed)
    const promise = opened.append(input, {
      ack: level,
      ...(isPlaced && submission.wanted !== null ? { partition: submission.wanted } : {}),
    })
    await this.#acknowledge(log, submission, promise)
  }

  /** Records one by one, many in one turn: they share a frame of the WAL. */
  async #appendSingles(log: LogModel): Promise<void> {
    // Its own level may be the old one or the new one while it changes.
    const opened = log.isChanging ? null : await this.#open(log)
    if (opened === null || log.isChanging) return
    const { spec } = log
    const facts = {
      count: 1,
      extraColumns: Math.min(EXTRA_COLUMNS_MAX, Math.floor(this.#life.model.life / 2)),
      isWide: false,
      padding: this.#dice.int(0, 60),
    }
    const appends = Array.from({ length: this.#dice.int(2, 12) }, () => {
      const wanted = spec.isKeyed ? (id: number): number | null => partitionOf(spec, id) : null
      const submission = this.#life.model.submit(log, facts, wanted, spec.ack)
      const [row = {}] = rowsOf(submission)
      return this.#acknowledge(log, submission, opened.append(row))
    })
    await Promise.all(appends)
  }

  async #produce(log: LogModel): Promise<void> {
    const opened = await this.#open(log)
    if (opened !== null) await produce(this.#life, this.#dice, log, opened)
  }

  /** Changes the policy of a log that is in use. */
  async #alter(log: LogModel): Promise<void> {
    if (!log.isCreated || log.isChanging) return
    const { db, model, world, hasArchive } = this.#life
    const wanted = chooseAltered(this.#dice, log.spec, hasArchive)
    if (wanted === null) return
    log.change(wanted, model.life)
    const { name, storage } = wanted
    const words = `${name} becomes '${storage.mode}' with '${wanted.ack}'`
    world.trace.add(`${words}: begun`)
    const altered = await this.#settle(words, db.alterLog(name, { storage }), READ_CODES)
    if (altered === null) return
    log.changed()
    world.trace.add(`${words}: done`)
  }

  async #acknowledge(
    log: LogModel,
    submission: Submission,
    promise: ReturnType<Log['append']>,
  ): Promise<void> {
    const { process, model, world, checks, isPoisoned } = this.#life
    const name = `append ${submission.id} to ${log.spec.name}`
    const wasPoisoned = isPoisoned()
    const { changes, isChanging } = log
    const isSteady = (): boolean => !isChanging && log.changes === changes
    try {
      const result = await checks.patiently(process, name, promise)
      if (result === 'dead') {
        model.unknown(submission)
        return
      }
      world.trace.add(`${name}: ${submission.level} at ${result.partition}/${result.offset}`)
      if (wasPoisoned && isPoisoned() && isSteady() && submission.level === 'disk')
        throw new Violation('I6', `${name} was acknowledged after a sync of the WAL had failed`)
      model.acked(log, submission, result, world.monotonic())
    } catch (error) {
      const isRefusal =
        isStratalogError(error) && ['invalid', 'overloaded', 'aborted'].includes(error.kind)
      if (isRefusal) model.refused(submission)
      else model.unknown(submission)
      checks.explain(error, name, isSteady() ? APPEND_CODES : [...APPEND_CODES, ...CHANGED_CODES])
    }
  }

  /** What does not fit the schema is refused whole, and is never seen. */
  async #appendBadly(log: LogModel): Promise<void> {
    const opened = await this.#open(log)
    if (opened === null || opened.describe().schema.length === 0) return
    const { model, checks, process } = this.#life
    const facts = { count: 3, extraColumns: 0, isWide: false, padding: 0 }
    const submission = model.submit(log, facts, null, log.spec.ack)
    const rows = rowsOf(submission)
    const bad = [rows[0], { ...rows[1], text: 17 }, rows[2]] as object[]
    try {
      const result = await process.outlive(opened.append(bad))
      if (result === 'dead') return
      throw new Violation('I5', `append ${submission.id} of records that do not fit is accepted`)
    } catch (error) {
      model.refused(submission)
      checks.explain(error, `bad append ${submission.id}`, [...APPEND_CODES, 'schema_mismatch'])
    }
  }

  async #read(log: LogModel): Promise<void> {
    if (!log.isCreated) return
    const { model } = this.#life
    const isGappy = log.isGappy || log.isRetained
    const partition = this.#dice.int(0, log.spec.partitions - 1)
    const required = model.requiredIn(log, partition)
    const isWhole = this.#dice.chance(0.5)
    const end = Math.max(0, ...log.entriesOf(partition).keys())
    const from = isWhole ? 0 : this.#dice.int(0, end)
    const range =
      isWhole || isGappy ? { partition } : { partition, from, to: from + this.#dice.int(0, 100) }
    const stream = this.#life.db
      .log(log.spec.name)
      .read({ ...range, onGap: isGappy ? 'skip' : 'fail' })
    const found = await this.#settle(
      `reading ${log.spec.name}/${partition}`,
      stream.toArray(),
      READ_CODES,
    )
    if (found === null) return
    const rows = found.value
    model.look(log, rows, {
      partition,
      from: isGappy ? null : isWhole ? 0 : rows.length === 0 ? null : from,
      isWhole: isWhole || isGappy,
      isRecovery: false,
      required: isWhole ? required : [],
    })
  }

  async #readLatest(log: LogModel): Promise<void> {
    if (!log.isCreated) return
    const partition = this.#dice.int(0, log.spec.partitions - 1)
    const last = this.#dice.int(1, 30)
    const stream = this.#life.db.log(log.spec.name).read({ partition, last, onGap: 'skip' })
    const found = await this.#settle(`latest of ${log.spec.name}`, stream.toArray(), READ_CODES)
    if (found === null) return
    const rows = found.value
    if (rows.length > last)
      throw new Violation('I8', `the newest ${last} of ${log.spec.name} are ${rows.length}`)
    this.#life.model.look(log, rows, {
      partition,
      from: null,
      isWhole: false,
      isRecovery: false,
      required: [],
    })
  }

  async #get(log: LogModel): Promise<void> {
    if (!log.isCreated) return
    const { model, db } = this.#life
    const partition = this.#dice.int(0, log.spec.partitions - 1)
    const required = model.requiredIn(log, partition)
    if (required.length === 0) return
    const submission = this.#dice.pick(required)
    const offset = (submission.place?.offset ?? 0) + this.#dice.int(0, submission.count - 1)
    const found = await this.#settle(
      `get ${offset} of ${log.spec.name}`,
      db.log(log.spec.name).get(offset, { partition }),
      log.isRetained ? [...READ_CODES, 'offset_gap'] : READ_CODES,
    )
    if (found === null) return
    const row = found.value
    if (row === null) {
      if (mayBeGone(log, submission, offset)) return
      if (model.isRetired(log, submission, Infinity)) return
      throw new Violation('I1', `offset ${offset} of ${log.spec.name}/${partition} is not there`)
    }
    model.look(log, [row], {
      partition,
      from: offset,
      isWhole: false,
      isRecovery: false,
      required: [],
    })
  }

  /** Follows a partition for a while. */
  async #tail(log: LogModel): Promise<void> {
    if (!log.isCreated) return
    const { db, process, model, checks } = this.#life
    const partition = this.#dice.int(0, log.spec.partitions - 1)
    const stop = new AbortController()
    const timer = process.after(this.#dice.int(1, 2_000), () => stop.abort())
    // Node keeps a signal that is made of others, and all that listens to it, until it fires.
    void process.died.then(() => stop.abort())
    const rows: Readonly<Record<string, unknown>>[] = []
    const follow = async (): Promise<void> => {
      const options = {
        partition,
        from: 0,
        live: true,
        signal: stop.signal,
        onGap: 'skip',
      } as const
      for await (const batch of db.log(log.spec.name).read(options)) rows.push(...batch.toRows())
    }
    await this.#settle(`tail of ${log.spec.name}`, follow(), READ_CODES)
    timer.cancel()
    if (checks.violation !== null || !process.isAlive) return
    model.look(log, rows, {
      partition,
      from: null,
      isWhole: false,
      isRecovery: false,
      required: [],
    })
  }

  async #readBeside(log: LogModel, partition: number): Promise<void> {
    await this.#life.besides.run(() => readBeside(this.#life, log, partition))
  }

  /** No guest reads meanwhile: it may not wait for its files as this process does. */
  async #collect(): Promise<void> {
    const { db, besides, process } = this.#life
    // One that dies with its process lets go of those who wait to read.
    const collecting = besides.run(() => process.outlive(db.tier.collect({ grace: 0 })))
    await this.#settle('a collection', collecting, READ_CODES)
  }

  /** Afterwards what was acknowledged before has a copy on the tier that was asked for, where its log has it. */
  async bringDown(to: 'disk' | 'object'): Promise<void> {
    const { db, model } = this.#life
    const logs = model.logs.filter(
      (log) => log.isCreated && !log.isInMemory && !log.isDeleting && !log.isAway,
    )
    const before = logs
      .filter((log) => !log.isChanging)
      .map((log) => ({ log, changes: log.changes, acked: model.acknowledgedNow(log) }))
    const settled = await this.#settle(`tier now ${to}`, db.tier.now({ to }), READ_CODES)
    if (settled === null) return
    const report = settled.value
    this.#life.world.trace.add(
      `tier now ${to}: moved ${report.moved.length}, failed ${report.failed.length}`,
    )
    for (const { log, changes, acked } of before) {
      if (log.changes !== changes || log.isDeleting) continue
      const failed = new Set(
        report.failed
          .filter(({ log: name }) => name === log.spec.name)
          .map(({ partition }) => partition),
      )
      for (const submission of acked)
        if (!failed.has(submission.place?.partition ?? -1)) submission.isDurable = true
    }
  }

  async #snapshot(): Promise<void> {
    const name = `s-${this.#life.process.number}-${this.#snapshots++}-${this.#dice.uint32()}`
    const held = heldLogs(this.#life)
    const departures = new Map(held.map(({ log }) => [log, log.departures]))
    const made = await this.#settle(`snapshot ${name}`, this.#life.db.snapshot({ name }), [
      'engine_closed',
      'snapshot_exists',
    ])
    // What was deleted or detached meanwhile it may be without.
    const left = held.filter(({ log }) => !log.isDeleting && log.departures === departures.get(log))
    if (made !== null) this.#life.model.snapshots.push({ name, held: left, seen: new Map() })
  }

  #checkBounds(): void {
    const { memory } = this.#life.db.status()
    if (memory.usedBytes > memory.maxBytes)
      throw new Violation(
        'I11',
        `${memory.usedBytes} of ${memory.maxBytes} bytes of RAM are in use`,
      )
  }

  /** The value; null when it failed for a reason, or the process died. */
  async #settle<T>(
    doing: string,
    work: Promise<T>,
    allowed: readonly ErrorCode[],
  ): Promise<{ readonly value: T } | null> {
    const { process, checks } = this.#life
    try {
      const result = await checks.patiently(process, doing, work)
      return result === 'dead' ? null : { value: result }
    } catch (error) {
      checks.explain(error, doing, allowed)
      return null
    }
  }
}
