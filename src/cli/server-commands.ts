import type { Command } from 'commander'
import { list, portNumber } from './arguments.ts'
import { addConfigFlags } from './config-flags.ts'
import { command } from './define-command.ts'
import type { Session } from './session.ts'

export function addServerCommands(program: Command, session: Session): void {
  program.commandsGroup('Server:')
  const serving = command(
    program,
    'serve',
    'Answer over HTTP until a signal ends it: the native API and the Durable Streams protocol.',
    'serve --memory-only --max-memory 4GB',
    'serve --data-dir data --archive s3://bucket/prefix --port 8080',
  )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes a free one', portNumber, 8080)
    .option('--memory-only', 'records in RAM only, which is so without --data-dir too')
    .option('--allow-host <names>', 'names that requests may give as Host, besides localhost', list)
  addConfigFlags(serving).action(async (options) => {
    const { serve } = await import('./commands/serve.ts')
    await serve(session, options)
  })
}
