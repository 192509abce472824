/**
 * Replays of the archive up to a moment or an offset, into a fresh engine in RAM, while the engine that writes it goes
 * on. What comes out is what the model knows of, whole as far as the archive went before, and has the hash that the
 * model's records have.
 */
import { LogHasher } from '../../src/format/content-hash.ts'
import { type RecordBatch, sliceRecordBatch } from '../../src/format/record-batch.ts'
import { type ReplayReport, Stratalog } from '../../src/index.ts'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import { textOf } from './look.ts'
import type { LogModel, Submission } from './log-model.ts'
import { Violation } from './violation.ts'
import { type Values, columnsOf, differenceOf } from './records.ts'

/** Where a replay ends. */
interface Bound {
  readonly until?: number
  readonly to?: number
}

/** By name of a log, and partition: what the archive has for sure. */
type ArchivedOffsets = ReadonlyMap<string, readonly number[]>

export async function checkReplay(life: Life, archive: string, dice: Dice): Promise<void> {
  const { world, process } = life
  const guest = world.startProcess(null)
  try {
    const work = replayOnce(life, archive, dice, life.portsOf(guest))
    await life.checks.patiently(process, 'a replay', work)
  } finally {
    guest.die('kill')
  }
}

async function replayOnce(
  life: Life,
  archive: string,
  dice: Dice,
  ports: ReturnType<Life['portsOf']>,
): Promise<void> {
  const before = archivedOffsets(life)
  const logs = comparable(life, before)
  if (logs.length === 0) return
  const [chosen, bound] = chooseBound(logs, dice)
  const names = chosen.map(({ spec }) => spec.name)
  life.world.trace.add(`${names.join(', ')} up to ${JSON.stringify(bound)}: replaying`)
  const scratch = await Stratalog.memoryOnly({ maxMemoryBytes: '256MB' }, ports)
  const report = await scratch.replayFromArchive(archive, { logs: names, ...bound })
  // Of a crash before its commit an object is left whose records come again.
  const missing = report.missing.filter(
    ({ log, partition, from }) => from < (before.get(log)?.[partition] ?? 0),
  )
  const damages = [...missing, ...report.corrupt]
  if (damages.length > 0)
    throw new Violation('I10', `a replay misses or doubts ${JSON.stringify(damages)}`)
  for (const log of chosen) await compare(life, scratch, report, log, bound, before)
  await scratch.close()
  life.model.counts.replays++
}

function archivedOffsets({ db }: Life): ArchivedOffsets {
  return new Map(
    db
      .status()
      .logs.map(({ name, partitions }) => [
        name,
        partitions.map(({ archivedOffset }) => archivedOffset),
      ]),
  )
}

/** Logs of which the archive has all records, none of which may be there that readers have not seen. */
function comparable({ model, db }: Life, before: ArchivedOffsets): readonly LogModel[] {
  return model.logs.filter(
    (log) =>
      log.holdsAll &&
      log.spec.keepsLatest !== true &&
      db.log(log.spec.name).describe().schema.length > 0 &&
      before.get(log.spec.name)?.some((offset) => offset > 0) === true,
  )
}

/** All of the logs up to a time, or one with one partition up to an offset. */
function chooseBound(logs: readonly LogModel[], dice: Dice): [readonly LogModel[], Bound] {
  const single = logs.find(({ spec }) => spec.partitions === 1)
  if (single !== undefined && dice.chance(0.4)) {
    const ends = [...single.entriesOf(0)].map(([offset, { count }]) => offset + count)
    return [[single], { to: dice.int(0, Math.max(1, ...ends)) }]
  }
  const times = logs.flatMap(({ byId }) => [...byId.values()].flatMap(({ time }) => time ?? []))
  if (times.length === 0 || dice.chance(0.2)) return [logs, {}]
  return [logs, { until: dice.pick(times) + dice.int(0, 1) }]
}

async function compare(
  { model }: Life,
  scratch: Stratalog,
  report: ReplayReport,
  log: LogModel,
  { until = Infinity, to = Infinity }: Bound,
  before: ArchivedOffsets,
): Promise<void> {
  const { name, partitions } = log.spec
  const opened = scratch.log(name)
  const schema = { id: 0, fields: opened.describe().schema }
  const hasher = new LogHasher(schema)
  for (let partition = 0; partition < partitions; partition++) {
    const rows = await opened.read({ partition, onGap: 'skip' }).toArray()
    const found = new Map<Submission, number>()
    for (const row of rows) {
      const submission = ownerOf(log, partition, row)
      const offset = Number(row['_offset'])
      if (offset >= to || (submission.time ?? -Infinity) >= until)
        throw new Violation('I10', `${name}/${partition}: ${textOf(row)} is behind the end`)
      found.set(submission, offset - Number(row['index']))
    }
    for (const batch of modelBatches(found, to, partition)) hasher.add(partition, batch)
    const archived = Math.min(to, before.get(name)?.[partition] ?? 0)
    const lost = model
      .requiredIn(log, partition)
      .find(
        (wanted) =>
          !found.has(wanted) &&
          (wanted.place?.offset ?? Infinity) < archived &&
          (wanted.time ?? Infinity) < until,
      )
    if (lost !== undefined)
      throw new Violation('I10', `${name}/${partition} is replayed without append ${lost.id}`)
  }
  const hash = report.logs.find((replayed) => replayed.name === name)?.hash
  const expected = hasher.digestHex()
  if (hash !== expected)
    throw new Violation('I10', `${name} is replayed as ${hash}, and the model is ${expected}`)
}

/** The append that a row is of. */
function ownerOf(log: LogModel, partition: number, row: Values): Submission {
  const submission = log.byId.get(Number(row['id']))
  const index = Number(row['index'])
  const offset = Number(row['_offset']) - index
  const isThere = submission !== undefined && mayLieAt(submission, partition, offset)
  const difference = isThere ? differenceOf(row, submission, index) : 'it is not there'
  if (submission !== undefined && difference === null) return submission
  throw new Violation('I10', `${log.spec.name}/${partition}: ${textOf(row)}: ${difference}`)
}

/** The archive may have one whose answer said that it was not known, before any reader of the engine saw it. */
function mayLieAt({ place, fate, wanted }: Submission, partition: number, offset: number): boolean {
  if (place === null) return fate === 'unknown' && (wanted === null || wanted === partition)
  return place.partition === partition && place.offset === offset && fate !== 'refused'
}

/** What the records are by the model, in offset order, each append where it was found. */
function* modelBatches(
  found: ReadonlyMap<Submission, number>,
  to: number,
  partition: number,
): Generator<RecordBatch> {
  const placed = [...found].map(([submission, baseOffset]) => ({ submission, baseOffset }))
  for (const { submission, baseOffset } of placed.toSorted((a, b) => a.baseOffset - b.baseOffset)) {
    const { fields, columns, length } = columnsOf(submission)
    const batch = { baseOffset, length, columns, appendTimeMin: 0, appendTimeMax: 0 }
    yield sliceRecordBatch(
      { ...batch, schema: { id: partition, fields } },
      baseOffset,
      Math.min(to, baseOffset + length),
    )
  }
}
