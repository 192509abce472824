/** `dump`: the whole state as JSON Lines, whether or not `--json` is given. */
import type { FlagValues } from '../config-flags.ts'
import { withReader } from '../engine-access.ts'
import { Remote } from '../remote.ts'
import type { Session } from '../session.ts'

export interface DumpFlags extends FlagValues {
  readonly log?: readonly string[]
}

/** Characters of lines that are written at once: a write a line would cost more than the line. */
const WRITE_CHARACTERS = 64 * 1024

export async function dumpState(session: Session, flags: DumpFlags): Promise<void> {
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    const answer = await remote.ask('/v1/dump', { parameters: { logs: flags.log?.join(',') } })
    for await (const bytes of remote.bytes(answer)) await session.terminal.write(bytes)
    return
  }
  await withReader(session, flags, async (reading) => {
    const { signal, terminal } = session
    let text = ''
    for await (const line of reading.dump({
      signal,
      ...(flags.log === undefined ? {} : { logs: flags.log }),
    })) {
      text += line
      if (text.length < WRITE_CHARACTERS) continue
      await terminal.write(text)
      text = ''
    }
    await terminal.write(text)
  })
}
