import { Argument, type Command } from 'commander'
import { type Shell, SHELLS, completionScript } from './completion.ts'
import { command } from './define-command.ts'
import type { Session } from './session.ts'

export function addCompletionCommand(program: Command, session: Session): void {
  program.commandsGroup('Shell:')
  command(
    program,
    'completion',
    'A script by which a shell completes command lines.',
    'completion bash > ~/.local/share/bash-completion/completions/stratalog',
    'completion zsh > "${fpath[1]}/_stratalog"',
    'completion fish > ~/.config/fish/completions/stratalog.fish',
  )
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(SHELLS))
    .action(async (shell: Shell) => {
      const script = completionScript(program, shell)
      await session.terminal.write(session.json ? `${JSON.stringify({ shell, script })}\n` : script)
    })
}
