"""Files, without any idea of what goldore keeps in them.

`atomic` writes files that are whole or not there, `locking` sees to one writer a file, `untrusted` reads
files of strangers and checks what they claim first, `user_code` finds and makes what users name by
package.module:name and NAME,KEY=VALUE, `interrupts` makes signals wait.

May import: nothing.
"""
