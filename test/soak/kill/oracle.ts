/**
 * What the parent of a killed process knows: each append that the child was about to make, and each that it saw
 * acknowledged, by the journal that the child writes synchronously. What is read back has to agree with it.
 */
import { isDeepStrictEqual } from 'node:util'
import { Stratalog } from '../../../src/index.ts'
import type { SoakCounts } from '../report.ts'
import { killRecord } from './kill-record.ts'
import type { LifeOptions } from './life.ts'
import { SenderOracle } from './sender-oracle.ts'

/** What is known of one partition. */
interface Told {
  /** By offset: every life that submitted a record there. */
  readonly submitted: Map<number, Set<number>>
  /** By offset: the life whose record was acknowledged, or was once found after a kill and so is there to stay. */
  readonly settled: Map<number, number>
}

export class KillOracle {
  readonly #partitions = new Map<string, Told>()
  readonly senders: SenderOracle = new SenderOracle()
  /** Records that the last check found. */
  checked = 0

  /** Takes in a line of the journal; says whether it tells of an acknowledgement. */
  hear(line: string, life: number, counts: SoakCounts): boolean {
    const [kind, key = '', fromText, countText] = line.split(' ')
    if (kind !== 'intent' && kind !== 'ack') return this.senders.hear(line, counts)
    const told = this.#told(key)
    const from = Number(fromText)
    for (let offset = from; offset < from + Number(countText); offset++) {
      if (kind === 'ack') told.settled.set(offset, life)
      else told.submitted.set(offset, (told.submitted.get(offset) ?? new Set()).add(life))
    }
    return kind === 'ack'
  }

  /** Opens the directory that the process left, as the next life would, and reads everything back. */
  async checkDirectory(
    { dataDir, archive }: Pick<LifeOptions, 'dataDir' | 'archive'>,
    counts: SoakCounts,
  ): Promise<void> {
    try {
      const place = archive === null ? { dataDir } : { dataDir, archive }
      await using db = await Stratalog.open({ ...place, logLevel: 'error' })
      await this.check(db, counts)
    } catch (error) {
      counts.violation('crashed', 'I13', `The engine does not open: ${String(error)}`)
    }
  }

  /** Reads everything back, and counts what is lost, invented or out of order. */
  async check(db: Stratalog, counts: SoakCounts): Promise<void> {
    this.checked = await this.senders.check(db, counts)
    for (const [key, told] of this.#partitions) {
      const seen = await readPartition(db, key, counts)
      for (const [offset, life] of told.settled) {
        if (isDeepStrictEqual(seen.get(offset), killRecord(key, offset, life))) continue
        const found = JSON.stringify(seen.get(offset) ?? null)
        counts.violation('lost', 'I1', `${key} offset ${offset} of life ${life} reads as ${found}`)
      }
      for (const [offset, record] of seen) {
        const life = Number(record['life'])
        const isKnown =
          told.submitted.get(offset)?.has(life) === true &&
          isDeepStrictEqual(record, killRecord(key, offset, life))
        if (!isKnown) {
          const found = JSON.stringify(record)
          counts.violation('invented', 'I2', `${key} offset ${offset}: nobody submitted ${found}`)
        }
        told.settled.set(offset, life)
        this.checked++
      }
    }
  }

  #told(key: string): Told {
    const known = this.#partitions.get(key)
    if (known !== undefined) return known
    const told: Told = { submitted: new Map(), settled: new Map() }
    this.#partitions.set(key, told)
    return told
  }
}

/** By offset, what a partition reads as; `key` is `log/partition`. */
async function readPartition(
  db: Stratalog,
  key: string,
  counts: SoakCounts,
): Promise<Map<number, Record<string, unknown>>> {
  const [name = '', partition] = key.split('/')
  const seen = new Map<number, Record<string, unknown>>()
  // A life that was killed early may have told of appends to a log that it did not come to create.
  if (!db.logs().some((log) => log.name === name)) return seen
  let next = 0
  const rows = db
    .log(name)
    .read({ partition: Number(partition) })
    .rows()
  for await (const row of rows) {
    const { _offset, _partition, _time, ...record } = row
    const offset = Number(_offset)
    if (offset !== next)
      counts.violation('wrong', 'I3', `${key} has offset ${offset} where ${next} comes`)
    next = offset + 1
    seen.set(offset, record)
  }
  return seen
}
