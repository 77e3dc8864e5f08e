// The answer for an application goes there as a form, at once. Without this script the button sends it.

document.querySelector('form').submit();
