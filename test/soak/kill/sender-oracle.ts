/**
 * What the parent knows of the producers of a killed process (sender.ts): what each sent, what was taken and where. The
 * log of some of them changes its policy all the time, so what was acknowledged in RAM only may be gone after a kill;
 * what was acknowledged on disk, or was once found after a kill, is there to stay.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Stratalog } from '../../../src/index.ts'
import type { SoakCounts } from '../report.ts'
import { CHANGING_LOG, SENDER_KEYS, type SenderStart, sentRecords } from './sent-record.ts'

/** Appends before the first that is not acknowledged, which are sent again. */
const REPEATED = 2
const LIVES_PER_EPOCH = 8

interface Told {
  epoch: number
  /** Of the epoch: the first sequence that was not seen acknowledged. */
  next: number
  /** As `epoch/sequence`. */
  readonly submitted: Set<string>
  /** Where the first record of what is there to stay is. */
  readonly settled: Map<string, number>
}

export class SenderOracle {
  readonly #told = new Map<string, Told>(
    SENDER_KEYS.map((key) => [
      key,
      { epoch: 0, next: 0, submitted: new Set(), settled: new Map() },
    ]),
  )
  /** Appends that were answered with where they are already. */
  duplicates = 0
  /** Changes of a policy that were done. */
  policyChanges = 0

  /** Where the producers of a life begin; some lives are a new epoch of theirs. */
  starts(life: number): readonly SenderStart[] {
    return [...this.#told].map(([key, told]) => {
      if (life % LIVES_PER_EPOCH === LIVES_PER_EPOCH - 1) {
        told.epoch++
        told.next = 0
      }
      return { key, epoch: told.epoch, sequence: Math.max(0, told.next - REPEATED) }
    })
  }

  /** Takes in a line of the journal; says whether it tells of an acknowledgement. */
  hear(line: string, counts: SoakCounts): boolean {
    const [kind, key = '', epoch, sequenceText, offsetText, level, how] = line.split(' ')
    if (kind === 'altered') this.policyChanges++
    const told = this.#told.get(key)
    // The process was killed while it wrote the line.
    if (told === undefined || epoch === undefined || sequenceText === undefined) return false
    const id = `${epoch}/${sequenceText}`
    if (kind === 'send') told.submitted.add(id)
    if (kind === 'back') this.#checkBack(key, told, Number(sequenceText), counts)
    if (kind !== 'took' || how === undefined) return false
    const offset = Number(offsetText)
    const before = told.settled.get(id)
    if (before !== undefined && (before !== offset || how !== 'again'))
      counts.violation('invented', 'I4', `${key}: ${id} is at ${before}, and is taken at ${offset}`)
    if (level === 'disk') told.settled.set(id, offset)
    if (how === 'again') this.duplicates++
    told.next = Math.max(told.next, Number(sequenceText) + 1)
    return true
  }

  /** Reads everything back, and counts what is lost, invented, there twice or in part; how many records there are. */
  async check(db: Stratalog, counts: SoakCounts): Promise<number> {
    let checked = 0
    for (const [key, told] of this.#told) {
      const rows = await readRows(db, key)
      checked += rows.length
      const seen = new PartitionCheck(key, told, counts).take(rows)
      for (const [id, offset] of told.settled) {
        if (seen.get(id) === offset) continue
        const found = seen.get(id) ?? 'nowhere'
        counts.violation('lost', 'I1', `${key}: ${id} was at ${offset} and is ${found}`)
      }
      for (const [id, offset] of seen) told.settled.set(id, offset)
    }
    return checked
  }

  /** The log expects what is there to stay: it forgot that it has it. */
  #checkBack(key: string, told: Told, expected: number, counts: SoakCounts): void {
    told.next = expected
    for (const id of told.settled.keys()) {
      const [epoch, sequence] = id.split('/').map(Number)
      if (epoch !== told.epoch || Number(sequence) < expected) continue
      counts.violation('invented', 'I4', `${key} expects ${expected}, though ${id} is there`)
    }
  }
}

/** Goes through the rows of one partition, in order. */
class PartitionCheck {
  readonly #key: string
  readonly #told: Told
  readonly #counts: SoakCounts
  /** By `epoch/sequence`: the offset of the first record. */
  readonly #seen = new Map<string, number>()
  #next = 0
  /** Records of the append that comes next in it; empty between two. */
  #rest: Record<string, unknown>[] = []

  constructor(key: string, told: Told, counts: SoakCounts) {
    this.#key = key
    this.#told = told
    this.#counts = counts
  }

  take(rows: readonly Record<string, unknown>[]): ReadonlyMap<string, number> {
    for (const row of rows) this.#row(row)
    if (this.#rest.length > 0) this.#part()
    return this.#seen
  }

  #row({ _offset, _partition, _time, ...record }: Record<string, unknown>): void {
    const offset = Number(_offset)
    const isGap = offset > this.#next && isGappy(this.#key)
    if (offset !== this.#next && !isGap)
      this.#counts.violation('wrong', 'I3', `${this.#key} has ${offset} where ${this.#next} comes`)
    if (this.#rest.length > 0 && (offset !== this.#next || record['index'] === 0)) this.#part()
    this.#next = offset + 1
    if (this.#rest.length === 0) this.#begin(offset, record)
    const expected = this.#rest.shift()
    if (isDeepStrictEqual(record, expected)) return
    const words = `${this.#key} offset ${offset} is ${JSON.stringify(record)}`
    this.#counts.violation('invented', 'I2', `${words}, not ${JSON.stringify(expected ?? null)}`)
  }

  #begin(offset: number, record: Record<string, unknown>): void {
    const [epoch, sequence] = [Number(record['epoch']), Number(record['sequence'])]
    const id = `${epoch}/${sequence}`
    const words = `${this.#key} offset ${offset}: ${id}`
    if (!this.#told.submitted.has(id))
      this.#counts.violation('invented', 'I2', `${words} was never sent`)
    if (this.#seen.has(id))
      this.#counts.violation('invented', 'I4', `${words} is at ${this.#seen.get(id)} already`)
    this.#seen.set(id, offset)
    this.#rest = sentRecords(this.#key, epoch, sequence)
  }

  #part(): void {
    const [missing] = this.#rest
    const words = `${this.#key} lacks ${JSON.stringify(missing)} before ${this.#next}`
    this.#counts.violation('lost', 'I5', words)
    this.#rest = []
  }
}

/** What a log had in RAM only leaves gaps when it is evicted, or gone with its process. */
function isGappy(key: string): boolean {
  return key.startsWith(`${CHANGING_LOG}/`)
}

async function readRows(db: Stratalog, key: string): Promise<Record<string, unknown>[]> {
  const [name = '', partition] = key.split('/')
  // A life that was killed early may have made no log yet.
  if (!db.logs().some((log) => log.name === name)) return []
  const onGap = isGappy(key) ? 'skip' : 'fail'
  return db
    .log(name)
    .read({ partition: Number(partition), onGap })
    .toArray()
}
