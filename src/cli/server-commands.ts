import { type Command, Option } from 'commander'
import { duration, fraction, list, portNumber, positiveNumber, repeated } from './arguments.ts'
import { addConfigFlags } from './config-flags.ts'
import { command } from './define-command.ts'
import type { Session } from './session.ts'

export const SERVER_COMMANDS: readonly string[] = ['serve', 'token']

export function addServerCommands(program: Command, session: Session): void {
  program.commandsGroup('Server:')
  const serving = command(
    program,
    'serve',
    'Answer over HTTP until a signal ends it: the native API and the Durable Streams protocol.',
    'serve --memory-only --max-memory 4GB',
    'serve --data-dir data --archive s3://bucket/prefix --port 8080',
  )
    .option('--host <address>', 'address to listen on; 127.0.0.1 without it')
    .option('--port <n>', 'port to listen on; 0 takes a free one; 8080 without it', portNumber)
    .option('--memory-only', 'records in RAM only, which is so without --data-dir too')
    .option('--allow-host <names>', 'names that requests may give as Host, besides localhost', list)
    .option('--cors-origin <origin>', 'pages of it may use the server; may be repeated', repeated)
    .option('--tokens <file>', 'only who has a token of this file is answered; see token create')
  serving
    .option('--tls-cert <file>', 'certificate in PEM, for HTTPS; read again at SIGHUP')
    .option('--tls-key <file>', 'the private key of the certificate, in PEM')
    .option('--rate-limit <n>', 'requests a second of each client; without it any', positiveNumber)
  serving
    .optionsGroup('Jobs over HTTP, and drills by itself:')
    .option('--job-archives <urls>', 'archives that jobs may read beside its own', list)
    .option('--job-dir <dir>', 'restores may make new directories in this one')
    .option('--job-hosts <names>', 'hosts that replays may post to', list)
    .option('--job-private-hosts', 'names of these may lead into a private network')
    .option('--drill-interval <t>', 'drill the archive this often, against its own logs', duration)
    .option('--drill-sample <part>', 'only this part of it each time, such as 0.1', fraction)
    .option('--drill-reports <dir>', 'write a page of each there; the last 30 are kept')
    .optionsGroup('Options:')
  addConfigFlags(serving).action(async (options) => {
    const { serve } = await import('./commands/serve.ts')
    await serve(session, options)
  })
  addTokenCommands(program, session)
}

function addTokenCommands(program: Command, session: Session): void {
  const token = program.command('token').description('Say who may use a server, and for what.')
  const file = (): Option => new Option('--tokens <file>', 'the file').makeOptionMandatory()
  command(
    token,
    'create',
    'Make a token; it is shown once.',
    'token create --tokens tokens.json --name shop --scopes read,append --logs shop. --expires 90d',
  )
    .addOption(file())
    .requiredOption('--name <name>', 'what it is for')
    .requiredOption('--scopes <a,b>', 'of read, append, sql and admin', list)
    .option('--logs <prefix>', 'logs whose names begin so only; without it all, and the engine', '')
    .option('--expires <t>', 'it ends after this; without it never', duration)
    .action(async (options) => {
      const { createToken } = await import('./commands/token.ts')
      await createToken(session, options)
    })
  command(token, 'list', 'All tokens, without their secrets.', 'token list --tokens tokens.json')
    .addOption(file())
    .action(async (options) => {
      const { listTokens } = await import('./commands/token.ts')
      await listTokens(session, options)
    })
  command(
    token,
    'revoke <token>',
    'End a token, named by its id or its name; a running server notices within a second.',
    'token revoke shop --tokens tokens.json',
  )
    .addOption(file())
    .action(async (idOrName: string, options) => {
      const { revokeToken } = await import('./commands/token.ts')
      await revokeToken(session, idOrName, options)
    })
}
