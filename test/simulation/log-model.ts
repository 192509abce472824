/** What the model knows of one log of a simulated engine: its policy, and every append to it with its fate. */
import type { AckLevel, StoragePolicy } from '../../src/format/manifest.ts'
import type { AppendFacts, LogSpec } from './records.ts'
import { Violation } from './violation.ts'

export const RANK: Readonly<Record<AckLevel, number>> = { memory: 0, disk: 1, object: 2 }

export interface Submission extends AppendFacts {
  readonly spec: LogSpec
  /** Where it must go; null when the engine chooses. */
  readonly wanted: number | null
  level: AckLevel
  /** In which life of the engine it was submitted last. */
  life: number
  /** `gone`: recovery has shown that it is not there, so it may not come back. */
  fate: 'pending' | 'acked' | 'unknown' | 'refused' | 'gone'
  /** Where it is or was, once that is known. */
  place: { readonly partition: number; readonly offset: number } | null
  /** Whether readers had it when it was acknowledged. */
  isShown: boolean
  /** Whether it must outlive the process. */
  isDurable: boolean
  /** When RAM acknowledged it, under which policy of a log that promises a copy in time; null elsewhere. */
  inRam: { readonly at: number; readonly rpoMs: number; readonly changes: number } | null
  /** `_time` of its first record, once it was seen. */
  time: number | null
  /** The wall clock when it was submitted first, and how far that had been set back by then. */
  readonly submittedAt: { readonly wall: number; readonly setBackMs: number }
}

/** The least that a log keeps, of all that was ever asked for; Infinity where that takes nothing. */
export interface KeptAtLeast {
  readonly ms: number
  readonly bytes: number
}

class PartitionModel {
  /** By offset: who is known to be there, or to have been there when its process died. */
  readonly entries: Map<number, Submission> = new Map()
}

export class LogModel {
  #spec: LogSpec
  /** What it is being changed to, or may have been: which of both holds the next life says. */
  #wanted: LogSpec | null = null
  /** Goes up when a change begins, and when it ends. */
  changes = 0
  /** Whether offsets may have holes: it was in RAM only, or without a WAL and then changed. */
  isGappy: boolean
  /** Whether records of it may be in no WAL. */
  wasWithoutWal: boolean
  /** Whether readers may have had to wait for the archive. */
  wasHidden: boolean
  /** In this life readers may have seen what is not durable. */
  lenientLife = 0
  readonly byId: Map<number, Submission> = new Map()
  readonly partitions: readonly PartitionModel[]
  isCreated = false
  /** Whether its creation was asked for: only then it may be there. */
  isAsked = false
  /** Its deletion was asked for, and nobody knows yet whether it is there. Stays set once it is gone. */
  isDeleting = false
  /** What a retention leaves at least, from when one was asked for on; null: everything stays. */
  kept: KeptAtLeast | null = null
  /** Whether it was detached, or that was asked for; null: it is there. */
  away: 'perhaps' | 'surely' | null = null
  /** Goes up with each detaching. */
  departures = 0

  constructor(spec: LogSpec) {
    this.#spec = spec
    this.isGappy = spec.storage.mode === 'memory'
    this.wasWithoutWal = !spec.hasWal
    this.wasHidden = spec.ack === 'object'
    this.partitions = Array.from({ length: spec.partitions }, () => new PartitionModel())
  }

  get spec(): LogSpec {
    return this.#spec
  }

  /** Whether it is there with every record that it acknowledged, save for old versions of keys. */
  get holdsAll(): boolean {
    return (
      this.isCreated &&
      !this.isDeleting &&
      !this.isAway &&
      !this.isRetained &&
      !this.isGappy &&
      !this.wasWithoutWal
    )
  }

  get isInMemory(): boolean {
    return this.spec.storage.mode === 'memory'
  }

  /** Whether readers may begin behind what was appended first. */
  get isRetained(): boolean {
    return this.kept !== null
  }

  get isAway(): boolean {
    return this.away !== null
  }

  get isChanging(): boolean {
    return this.#wanted !== null
  }

  /** Whether a record that is acknowledged at this level is shown, whichever policy holds. */
  shows(level: AckLevel): boolean {
    return [this.#spec, this.#wanted].every(
      (spec) => spec === null || RANK[level] >= RANK[spec.ack],
    )
  }

  /** A change of the policy begins. */
  change(wanted: LogSpec, life: number): void {
    const both = [this.#spec, wanted]
    const isElsewhere =
      wanted.hasWal !== this.#spec.hasWal || wanted.storage.mode !== this.#spec.storage.mode
    this.isGappy ||= isElsewhere && both.some(({ hasWal }) => !hasWal)
    this.wasWithoutWal ||= !wanted.hasWal
    this.wasHidden ||= wanted.ack === 'object'
    if (both.some(({ ack }) => ack === 'memory')) this.lenientLife = life
    this.#wanted = wanted
    this.changes++
  }

  changed(): void {
    this.#spec = this.#wanted ?? this.#spec
    this.#wanted = null
    this.changes++
  }

  /** The next life says which policy holds. */
  foundPolicy(
    found: Pick<StoragePolicy, 'mode' | 'ack' | 'wal' | 'diskAfter' | 'archiveAfter'>,
  ): void {
    const holds = [this.#wanted, this.#spec].find(
      (spec) =>
        spec !== null &&
        spec.storage.mode === found.mode &&
        spec.ack === found.ack &&
        spec.hasWal === found.wal &&
        (spec.storage.diskAfter ?? found.diskAfter) === found.diskAfter &&
        (spec.storage.archiveAfter ?? found.archiveAfter) === found.archiveAfter,
    )
    if (holds === undefined || holds === null)
      throw new Violation(
        'I1',
        `${this.spec.name} is '${found.mode}' with '${found.ack}', which nobody asked for`,
      )
    this.#spec = holds
    this.#wanted = null
  }

  /**
   * Without a WAL and a local disk only the archive knows what was brought down. An engine that is opened while the
   * archive is away does not, gives the same offsets to others, and is refused by the archive from then on.
   */
  get mayForget(): boolean {
    return this.wasWithoutWal && this.spec.storage.localDisk === false
  }

  entriesOf(partition: number): Map<number, Submission> {
    const held = this.partitions[partition]
    if (held === undefined)
      throw new Violation('I2', `${this.spec.name} has no partition ${partition}`)
    return held.entries
  }
}
