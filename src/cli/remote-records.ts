/** Records and rows of a server, in every format of the command line. */
import { parseArrowIpc } from '../format/arrow-input.ts'
import type { OutputFormat } from './output/output-format.ts'
import { openRecordOutput } from './output/record-output.ts'
import type { Remote, RemoteRequest } from './remote.ts'
import type { Session } from './session.ts'

/** What the server writes as it comes; the others are made here of all of it. */
const SERVED: readonly OutputFormat[] = ['ndjson', 'csv', 'arrow']

export async function writeRemoteRecords(
  session: Session,
  remote: Remote,
  path: string,
  request: RemoteRequest,
  format: OutputFormat,
): Promise<void> {
  const isServed = SERVED.includes(format)
  const parameters = { ...request.parameters, format: isServed ? format : 'arrow' }
  const response = await remote.ask(path, { ...request, parameters })
  if (isServed) {
    await remote.pipe(response, (bytes) => session.terminal.write(bytes))
    return
  }
  const parts: Uint8Array[] = []
  await remote.pipe(response, async (bytes) => void parts.push(bytes))
  const output = await openRecordOutput(format, session)
  const batches = await parseArrowIpc(Buffer.concat(parts))
  for (const batch of batches) await output.write(batch)
  await output.end(batches[0]?.fields ?? [])
}
