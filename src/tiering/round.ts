/**
 * A round: the steps of many partitions, some at a time, which meet where the same work is done for all of them at
 * once: one file, one object, one commit of a manifest.
 *
 * - A step that waits for a meeting makes room for the next. A meeting begins when every other step of the round has
 *   ended or waits too, or when what waits weighs enough. Of several that could begin the first of STAGES does, so that
 *   those behind catch up.
 * - Who is late is not waited for: after STALL_MS in which no step came or ended, the meeting begins without it. So a
 *   store that hangs holds up what hangs, and steps that wait for each other across two rounds go on.
 * - Each member is answered by itself: what fails for one fails for it alone, unless they share its bytes.
 */
import { present } from '../base/assert.ts'
import type { Clock, Timer } from '../base/clock.ts'

/** In the order in which a step comes to them. */
const STAGES = ['file', 'object', 'archive', 'directory'] as const

/** Where steps meet: to write files, to put objects, to commit to the archive's manifest or to the local one. */
export type Stage = (typeof STAGES)[number]

/** Does for all what each of them asked for, and answers each. It does not throw. */
export type Together<Item, Result> = (items: readonly Item[]) => readonly Promise<Result>[]

const STALL_MS = 1_000

/** What waits at a stage is worth a meeting at this weight, though others are on their way: so much lies in RAM. */
export const MEETING_BYTES_MAX: number = 64 * 1024 * 1024

interface Meeting {
  readonly together: Together<unknown, unknown>
  readonly members: Member[]
  bytes: number
}

interface Member {
  readonly item: unknown
  readonly answer: (result: Promise<unknown>) => void
}

export class Round {
  readonly #clock: Clock
  readonly #parallel: number
  readonly #meetings = new Map<Stage, Meeting>()
  /** Steps that go on as soon as another one waits or ends: those that had begun, and those that had not. */
  readonly #resuming: (() => void)[] = []
  readonly #unstarted: (() => void)[] = []
  #running = 0
  /** Of those that run: they wait at a meeting, and too much lies in RAM already to let others go on. */
  #holding = 0
  /** Members of meetings that have begun and are not answered yet. */
  #unanswered = 0
  /** Of all who wait. */
  #bytes = 0
  /** Counts whatever happens. */
  #progress = 0
  #timer: Timer | null = null

  constructor(clock: Clock, parallel: number) {
    this.#clock = clock
    this.#parallel = parallel
  }

  /** Runs all steps, some at a time, and returns what each of them gave, in their order. A step does not throw. */
  async all<Result>(
    steps: readonly ((round: Round) => Promise<Result>)[],
  ): Promise<readonly Result[]> {
    const results = await Promise.all(
      steps.map(async (step) => {
        await this.#enter(this.#unstarted)
        try {
          return await step(this)
        } finally {
          this.#leave()
        }
      }),
    )
    this.#timer?.cancel()
    return results
  }

  /**
   * Waits for the others, and does `together` with what they brought; all who come to a stage bring the same function.
   * @param bytes what the item holds in RAM while it waits.
   */
  async meet<Item, Result>(
    stage: Stage,
    item: Item,
    together: Together<Item, Result>,
    bytes = 0,
  ): Promise<Result> {
    const { promise, resolve } = Promise.withResolvers<Result>()
    const meeting = this.#meetings.get(stage) ?? {
      together: together as Together<unknown, unknown>,
      members: [],
      bytes: 0,
    }
    meeting.members.push({ item, answer: resolve as Member['answer'] })
    meeting.bytes += bytes
    this.#bytes += bytes
    this.#meetings.set(stage, meeting)
    this.#watch()
    if (meeting.bytes >= MEETING_BYTES_MAX) this.#begin(stage, meeting)
    const isHolding = this.#bytes >= MEETING_BYTES_MAX
    if (isHolding) this.#hold()
    else this.#leave()
    try {
      return await promise
    } finally {
      this.#unanswered--
      this.#bytes -= bytes
      if (isHolding) this.#holding--
      else await this.#enterAgain()
    }
  }

  #hold(): void {
    this.#progress++
    this.#holding++
    this.#beginWhenAllWait()
  }

  #enterAgain(): Promise<void> {
    const entered = this.#enter(this.#resuming)
    // Where those that hold have every place, nobody else will come to their meeting.
    this.#beginWhenAllWait()
    return entered
  }

  async #enter(queue: (() => void)[]): Promise<void> {
    if (this.#running >= this.#parallel) await new Promise<void>((resolve) => queue.push(resolve))
    else this.#running++
  }

  /** The place of a step that waits or ends goes to the next, who need not count itself then. */
  #leave(): void {
    this.#progress++
    const next = this.#resuming.shift() ?? this.#unstarted.shift()
    if (next !== undefined) return next()
    this.#running--
    this.#beginWhenAllWait()
  }

  #beginWhenAllWait(): void {
    if (this.#running === this.#holding && this.#unanswered === 0) this.#beginFirst()
  }

  #beginFirst(): void {
    for (const stage of STAGES) {
      const meeting = this.#meetings.get(stage)
      if (meeting !== undefined) return this.#begin(stage, meeting)
    }
  }

  #begin(stage: Stage, { together, members }: Meeting): void {
    this.#meetings.delete(stage)
    this.#unanswered += members.length
    const results = together(members.map(({ item }) => item))
    for (const [index, { answer }] of members.entries())
      answer(present(results[index], 'each member of a meeting is answered'))
  }

  #watch(): void {
    if (this.#timer !== null) return
    const before = this.#progress
    this.#timer = this.#clock.setTimer(STALL_MS, () => {
      this.#timer = null
      if (this.#meetings.size === 0) return
      if (this.#progress === before) this.#beginFirst()
      this.#watch()
    })
  }
}

/** The meeting of a stage, or `together` for this item alone where there is no round. */
export async function meetIn<Item, Result>(
  round: Round | undefined,
  stage: Stage,
  item: Item,
  together: Together<Item, Result>,
  bytes = 0,
): Promise<Result> {
  if (round !== undefined) return round.meet(stage, item, together, bytes)
  return present(together([item])[0], 'who is alone is answered')
}
