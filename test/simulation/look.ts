/** Looks at what an engine holds, whole, and holds it against the model. */
import { isStratalogError } from '../../src/base/errors.ts'
import type { Life } from './life.ts'
import type { LogModel } from './log-model.ts'
import { Violation } from './violation.ts'
import type { Values } from './records.ts'

/** Reads every partition of a log and holds it against the model; where each ends, or null when the process died. */
export async function lookAtLog(
  life: Life,
  log: LogModel,
  isRecovery: boolean,
): Promise<readonly number[] | null> {
  const { model, process, checks } = life
  const ends: number[] = []
  for (let partition = 0; partition < log.spec.partitions; partition++) {
    const required = model.requiredIn(log, partition)
    const name = `${log.spec.name}/${partition}`
    const rows = await checks.patiently(process, `checking ${name}`, readAll(life, log, partition))
    if (rows === 'dead') return null
    const end = model.look(log, rows, {
      partition,
      from: log.isGappy || log.isRetained ? null : 0,
      isWhole: true,
      isRecovery,
      required,
    })
    // Where nothing is left, readers do not say where it ended.
    ends.push(rows.length === 0 && log.isRetained ? endOf(life, log, partition) : end)
    life.world.trace.add(`${name} holds ${rows.length} records`)
  }
  return ends
}

function endOf({ db }: Life, log: LogModel, partition: number): number {
  const status = db.status().logs.find(({ name }) => name === log.spec.name)
  return status?.partitions[partition]?.endOffset ?? 0
}

/** As long as a circuit stays open at most. */
const CIRCUIT_PAUSE_MS = 60_000

async function readAll(life: Life, log: LogModel, partition: number): Promise<readonly Values[]> {
  const { db, process } = life
  try {
    const onGap = log.isGappy || log.isRetained ? 'skip' : 'fail'
    return await db.log(log.spec.name).read({ partition, onGap }).toArray()
  } catch (error) {
    if (!isStratalogError(error)) throw error
    // The store was away a while ago, and is asked again when the circuit's pause is over.
    if (error.details['circuit'] === 'open') {
      const pause = new Promise<void>((resolve) => process.after(CIRCUIT_PAUSE_MS, resolve))
      // Whoever waits for a process that died is told so.
      return (await process.outlive(pause)) === 'dead' ? [] : readAll(life, log, partition)
    }
    throw new Violation(
      'I7',
      `reading ${log.spec.name}/${partition} with nothing wrong gives ${error.code}: ${error.message}`,
    )
  }
}

/** A row in words; equal rows have equal texts. */
export function textOf(row: Values): string {
  return JSON.stringify(row, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
}
