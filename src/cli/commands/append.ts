/**
 * `append`: NDJSON from standard input. A line of output means that its records are acknowledged: it is written, and
 * handed to the system, only after the acknowledgement.
 */
import process from 'node:process'
import { StratalogError } from '../../base/errors.ts'
import type { AckLevel } from '../../format/manifest.ts'
import type { FlagValues } from '../config-flags.ts'
import { type CreateFlags, withTargets } from '../create-log.ts'
import { AckPrinter } from '../input/ack-printer.ts'
import { parseJsonRecord } from '../../engine/json-record.ts'
import { type LineBlock, splitLines } from '../input/lines.ts'
import type { Session } from '../session.ts'

export interface AppendFlags extends FlagValues, CreateFlags {
  readonly log: string
  readonly batchRecords: number
  readonly partition?: number
  readonly ack?: AckLevel
}

export async function appendLines(session: Session, flags: AppendFlags): Promise<void> {
  // The level is that of these appends, not the policy of a log that is made.
  const { ack, ...config } = flags
  await withTargets(session, config, async (open) => {
    const printer = new AckPrinter(session, await open(flags.log), {
      batchRecords: flags.batchRecords,
      ...(flags.partition === undefined ? {} : { partition: flags.partition }),
      ...(ack === undefined ? {} : { ack }),
    })
    const stop = (): void => {
      process.stdin.destroy()
    }
    session.signal.addEventListener('abort', stop, { once: true })
    try {
      await appendAll(session, printer)
    } finally {
      session.signal.removeEventListener('abort', stop)
      process.stdin.destroy()
      await printer.settle()
    }
  })
}

async function appendAll(session: Session, printer: AckPrinter): Promise<void> {
  try {
    for await (const block of splitLines(process.stdin)) {
      const problem = await appendBlock(block, printer)
      if (problem === null) continue
      // What came before a bad line counts.
      await printer.drain()
      throw problem
    }
  } catch (error) {
    // Input that was closed under the loop is how an interruption looks from here.
    session.signal.throwIfAborted()
    throw error
  }
  await printer.drain()
  session.signal.throwIfAborted()
}

/** Appends the lines up to the first bad one, and returns what is wrong with that. */
async function appendBlock(block: LineBlock, printer: AckPrinter): Promise<StratalogError | null> {
  const bad = block.bad[0]
  for (const { number, text } of block.lines) {
    if (bad !== undefined && number > bad.number) break
    const parsed = parseJsonRecord(text)
    if ('reason' in parsed) return lineInvalid(number, parsed.reason)
    await printer.add(parsed.record)
  }
  return bad === undefined ? null : lineInvalid(bad.number, bad.reason)
}

function lineInvalid(line: number, reason: string): StratalogError {
  return new StratalogError('input_invalid', `Standard input, line ${line}: ${reason}.`, {
    details: { line, reason },
  })
}
