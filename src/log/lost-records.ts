/**
 * Records of a partition that nothing holds any more because the WAL is damaged: those of a frame whose payload is not
 * what was written, and all that was appended behind them.
 *
 * Invariants:
 * - they lie behind all that the partition holds, which ends where they begin; nothing is given their offsets;
 * - a view shows them as a source that nobody can read, so a reader who comes to them gets the error, never an end;
 * - the checkpoint does not pass `lsn` while they are there, so the damaged frame stays in the WAL, and every opening
 *   finds the same.
 */
import { StratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import type { SegmentSource } from './log-view.ts'

export interface LostWhere {
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
  /** Where the damaged frame lies in the WAL. */
  readonly lsn: number
  /** When the first of them was appended, ms. */
  readonly appendTime: number
}

export class LostRecords {
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly lsn: number
  readonly #appendTime: number
  readonly #damage: StratalogError
  #to: number

  /** `damage` is the error of the WAL's reading. */
  constructor({ log, partition, from, to, lsn, appendTime }: LostWhere, damage: StratalogError) {
    this.log = log
    this.partition = partition
    this.from = from
    this.lsn = lsn
    this.#to = to
    this.#appendTime = appendTime
    this.#damage = damage
  }

  get to(): number {
    return this.#to
  }
  get file(): string {
    return String(this.#damage.details['file'])
  }
  get position(): number {
    return Number(this.#damage.details['position'])
  }
  get kind(): 'checksum' | 'truncated' {
    return this.#damage.details['damage'] === 'truncated' ? 'truncated' : 'checksum'
  }
  get reason(): string {
    return String(this.#damage.details['reason'])
  }

  /** The WAL has more of them. */
  growTo(end: number): void {
    this.#to = Math.max(this.#to, end)
  }

  /** What readers of them are told. */
  error(): StratalogError {
    return this.#error('', {})
  }

  /** What appends to the log are told. */
  refusal(): StratalogError {
    return this.#error(
      ' The log takes no appends: restore or fork what is there under another name, then delete it.',
      { fate: 'not_applied' },
    )
  }

  /** The part of them that lies in `wanted`, as a view shows it; null when there is none. */
  source(wanted: Range): SegmentSource | null {
    const from = Math.max(wanted.start, this.from)
    const to = Math.min(wanted.end, this.#to)
    if (from >= to) return null
    const read = async (): Promise<Uint8Array> => {
      throw this.error()
    }
    return {
      tier: 'disk',
      segment: this.#segment(),
      from,
      to,
      bytes: { length: 0, read, path: null, position: 0 },
      lost: this,
    }
  }

  #error(advice: string, more: Readonly<Record<string, unknown>>): StratalogError {
    const { log, partition, from, to, file, position, lsn } = this
    return new StratalogError(
      'wal_corrupt',
      `${file} is damaged at byte ${position} (LSN ${lsn}): ${this.reason}. Offsets [${from}, ${to}) of log '${log}', partition ${partition}, cannot be read; what lies before can.${advice}`,
      {
        cause: this.#damage,
        details: { ...this.#damage.details, log, partition, from, to, ...more },
      },
    )
  }

  /** Of no bytes: all that is asked of it without reading is where it lies. */
  #segment(): SegmentEntry {
    return {
      baseOffset: this.from,
      endOffset: this.#to,
      schemaId: 0,
      timeMin: -Infinity,
      timeMax: Infinity,
      appendTimeMin: this.#appendTime,
      appendTimeMax: Infinity,
      rawBytes: 0,
      format: 'arrow',
      length: 0,
      sha256: '',
      statistics: [],
      disk: null,
      object: null,
    }
  }
}
