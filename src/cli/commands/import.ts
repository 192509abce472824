/** `import`: files in one of several formats into a log. */
import { StratalogError } from '../../base/errors.ts'
import { systemRandom } from '../../base/random.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { withTargets } from '../create-log.ts'
import {
  type CheckedInput,
  type ImportFlags,
  ImportJob,
  type ImportReport,
  checkInputs,
} from '../input/import-job.ts'
import { ImportNotes } from '../input/import-notes.ts'
import { expandNames } from '../input/expand-names.ts'
import { Rejects } from '../input/rejects.ts'
import { type Session, note, writeDocument } from '../session.ts'

export async function importFiles(
  session: Session,
  names: readonly string[],
  flags: ImportFlags,
): Promise<void> {
  const startedAt = session.clock.monotonic()
  const files = await expandNames(names)
  if (files.filter((name) => name === '-').length > 1) {
    throw new StratalogError('argument_invalid', 'Standard input can be read once: give - once.')
  }
  const inputs = await checkInputs(files, flags.format)
  const notes = await openNotes(flags, inputs)
  const rejects = new Rejects(flags.rejects ?? null, notes !== null)
  const report = await runJob(session, files, flags, rejects, notes)
  const elapsedMs = Math.round(session.clock.monotonic() - startedAt)
  tellRejects(session, rejects, flags)
  if (report.records === 0 && rejects.count > 0) {
    throw nothingTaken(rejects)
  }
  const { records, inputBytes, schema, offsets } = report
  if (session.json) {
    await writeDocument(session, {
      records,
      rejected: rejects.count,
      inputBytes,
      elapsedMs,
      schema,
      offsets,
    })
    return
  }
  const from = `${formatCount(records)} records from ${formatBytes(inputBytes)}`
  const rate = `${formatCount((records / Math.max(1, elapsedMs)) * 1000)} records/s`
  const rejected = `${formatCount(rejects.count)} rejected`
  const columns = schema.map(({ name, type }) => `${name} ${type}`).join(', ')
  await session.terminal.write(
    `${from} in ${formatDuration(elapsedMs)} (${rate}); ${rejected}\n${flags.log}: ${columns}\n`,
  )
}

/** @throws StratalogError `argument_invalid` for input that can be read once only. */
async function openNotes(
  { resume, log }: ImportFlags,
  inputs: readonly CheckedInput[],
): Promise<ImportNotes | null> {
  if (resume === undefined) return null
  const files = inputs.map(({ name, bytes }) => {
    if (bytes !== null) return { name, bytes }
    throw new StratalogError('argument_invalid', `--resume is for files, and ${name} is none.`)
  })
  return await ImportNotes.open(resume, log, files, systemRandom)
}

async function runJob(
  session: Session,
  files: readonly string[],
  flags: ImportFlags,
  rejects: Rejects,
  notes: ImportNotes | null,
): Promise<ImportReport> {
  try {
    return await withTargets(session, flags, async (open) => {
      const job = new ImportJob(session, open, flags, { rejects, notes })
      try {
        for (const name of files) await job.add(name)
        return await job.report()
      } finally {
        await job.close()
      }
    })
  } finally {
    await rejects.close()
  }
}

function nothingTaken(rejects: Rejects): StratalogError {
  const [first] = rejects.first
  return new StratalogError(
    'input_invalid',
    `None of ${formatCount(rejects.count)} records was taken: ${first?.reason ?? ''}`,
    { details: { rejected: rejects.count, first: rejects.first } },
  )
}

function tellRejects(session: Session, rejects: Rejects, flags: ImportFlags): void {
  for (const { file, line, reason } of rejects.first) note(session, `${file}:${line}: ${reason}`)
  const more = rejects.count - rejects.first.length
  const hint = flags.rejects === undefined ? '; keep them with --rejects FILE' : ''
  if (more > 0) note(session, `… and ${formatCount(more)} more${hint}`)
}
